import { Inject, type InjectionToken } from '@nestjs/common';
import type { Circuit } from '../transport/breaker.js';
import type { Lane } from '../message/message.js';
import type { ServerLoad } from '../transport/probe.js';
import type { Routes } from '../transport/route.js';
import type { WindowState } from '../transport/window.js';

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
  lastError?: { at: Date; error: string };
  /** How much bulk mail this process gives it, and why no more; of transports of the bulk lane. */
  window?: WindowState;
  /** What its probe says, if it has one. */
  load?: ServerLoad;
}

/** What `isHealthy()` gives: the shape of Terminus' health indicators. */
export type MailHealth = Record<string, { status: 'up' | 'down'; transports: TransportHealth[] }>;

/** Where every transport stands. */
export function transportHealth(routes: Routes): TransportHealth[] {
  const lanes = { priority: routes.ranking('priority'), bulk: routes.ranking('bulk') };
  return routes.transports.map((transport) => {
    const { circuit, latency, lastError, window, load } = transport.standing;
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
      ...(lastError ? { lastError } : {}),
      ...(transport.lanes.includes('bulk') ? { window } : {}),
      ...(load ? { load } : {}),
    };
  });
}

/**
 * For `@nestjs/terminus`, or any health page: up while the priority lane has a transport that is not down. Asks no server.
 *
 * ```ts
 * this.health.check([() => this.mailHealth.isHealthy('mail')]);
 * ```
 */
export class MailHealthIndicator {
  /** @internal */
  constructor(private readonly routes: Routes) {}

  isHealthy(key = 'mail'): MailHealth {
    const transports = transportHealth(this.routes);
    const usable = transports.some(({ rank, circuit }) => rank.priority !== undefined && circuit === 'closed');
    return { [key]: { status: usable ? 'up' : 'down', transports } };
  }
}

/** The injection token of a mailer's `MailHealthIndicator`: the class itself, or a named one's own. */
export function getMailHealthToken(name?: string): InjectionToken {
  return name === undefined ? MailHealthIndicator : `MailHealthIndicator(${name})`;
}

/** Injects the `MailHealthIndicator` of the mailer with this name. */
export const InjectMailHealth = (name?: string): ParameterDecorator & PropertyDecorator =>
  Inject(getMailHealthToken(name));
