import { Inject, type InjectionToken } from '@nestjs/common';
import type { Lane } from '../message/message.js';
import { withoutAddresses } from '../message/text.js';
import type { MailQueue } from '../queue/mail-queue.js';
import type { Circuit } from '../transport/breaker.js';
import type { ServerLoad } from '../transport/probe.js';
import type { Routes } from '../transport/route.js';
import type { WindowState } from '../transport/window.js';
import { parseThresholds, problemsOf, queueHealth, type HealthThresholds, type QueueHealth } from './queue-health.js';

/** How one transport is doing, without asking it anything. */
export interface TransportHealth {
  name: string;
  region?: string;
  /** Its place in each of its lanes, from 1, which is tried first. */
  rank: Partial<Record<Lane, number>>;
  /** Why it has that place, such as `same region (eu-west-1), 12.3 ms`. */
  reason: string;
  /** `closed` is well; `open`, it is down and not asked; `half-open`, it is being checked. */
  circuit: Circuit['state'];
  /** Moving average of its round trips in milliseconds. */
  latency?: number;
  /** Mail addresses are taken out of it. */
  lastError?: { at: Date; error: string };
  /** How much bulk mail this process gives it, and why no more; of transports of the bulk lane. */
  window?: WindowState;
  /** What its probe says, if it has one. */
  load?: ServerLoad;
  /** What its provider says of the account, such as how much of a quota is used. */
  notice?: string;
}

/** How one mailer is doing. */
export interface MailerHealth {
  status: 'up' | 'down';
  /** Why it is down: everything that is wrong. */
  problems?: string[];
  transports: TransportHealth[];
  /** Of the bulk lane, if there is one. */
  queue?: QueueHealth;
}

/** What `isHealthy()` gives: the shape of Terminus' health indicators. */
export type MailHealth<Key extends string = string> = Record<Key, MailerHealth>;

/** Where every transport stands. */
export function transportHealth(routes: Routes): TransportHealth[] {
  const lanes = { priority: routes.ranking('priority'), bulk: routes.ranking('bulk') };
  return routes.transports.map((transport) => {
    const { circuit, latency, lastError, window, load, notice } = transport.standing;
    const rank: TransportHealth['rank'] = {};
    let reason = '';
    for (const lane of transport.lanes) {
      const index = lanes[lane].findIndex((ranked) => ranked.transport === transport);
      rank[lane] = index + 1;
      reason = lanes[lane][index]!.reason;
    }
    return {
      name: transport.name,
      ...(transport.region === undefined ? {} : { region: transport.region }),
      rank,
      reason,
      circuit: circuit.state,
      ...(latency === undefined ? {} : { latency }),
      ...(lastError ? { lastError: { ...lastError, error: withoutAddresses(lastError.error) } } : {}),
      ...(transport.lanes.includes('bulk') ? { window: shown(window) } : {}),
      ...(load ? { load } : {}),
      ...(notice === undefined ? {} : { notice }),
    };
  });
}

function shown(window: WindowState): WindowState {
  return window.reason === undefined ? window : { ...window, reason: withoutAddresses(window.reason) };
}

/**
 * For `@nestjs/terminus`, or any health page: up while the priority lane has a transport that is not down, and the queue's
 * store can be reached. Asks no mail server.
 *
 * ```ts
 * this.health.check([() => this.mailHealth.isHealthy('mail', { maxWait: '15m' })]);
 * ```
 */
export class MailHealthIndicator {
  /** @internal */
  constructor(
    private readonly routes: Routes,
    private readonly queue: MailQueue | undefined,
  ) {}

  /** Where every transport stands, from what this process knows already. Asks nobody. */
  transports(): TransportHealth[] {
    return transportHealth(this.routes);
  }

  /**
   * How the mailer is doing, under the given key. Rejects for nothing but thresholds that are no good.
   *
   * @param thresholds what else makes it down; by default nothing
   * @throws MailConfigError a threshold is no good
   */
  async isHealthy<Key extends string = 'mail'>(
    key: Key = 'mail' as Key,
    thresholds: HealthThresholds = {},
  ): Promise<MailHealth<Key>> {
    const limits = parseThresholds(thresholds);
    const queue = this.queue && (await queueHealth(this.queue, limits.timeout));
    const transports = this.transports();
    const usable = transports.some(({ rank, circuit }) => rank.priority !== undefined && circuit === 'closed');
    const problems = [
      ...(usable ? [] : ['No transport of the priority lane works']),
      ...(queue ? problemsOf(queue, limits) : []),
    ];
    const health: MailerHealth = {
      status: problems.length === 0 ? 'up' : 'down',
      ...(problems.length > 0 ? { problems } : {}),
      transports,
      ...(queue ? { queue } : {}),
    };
    return { [key]: health } as MailHealth<Key>;
  }
}

/** The injection token of a mailer's `MailHealthIndicator`: the class itself, or a named one's own. */
export function getMailHealthToken(name?: string): InjectionToken {
  return name === undefined ? MailHealthIndicator : `MailHealthIndicator(${name})`;
}

/** Injects the `MailHealthIndicator` of the mailer with this name. */
export const InjectMailHealth = (name?: string): ParameterDecorator & PropertyDecorator =>
  Inject(getMailHealthToken(name));
