import { reasonOf } from '../../errors.js';
import type { Lane } from '../../message/message.js';
import type { ConnectionLeases } from '../connection-leases.js';
import {
  MESSAGES_PER_CONNECTION,
  notAsked,
  type Acceptance,
  type Outgoing,
  type SendOptions,
  type Transport,
  type TransportMonitor,
} from '../transport.js';
import { loginData } from './login.js';
import type { SmtpTransportOptions } from './options.js';
import { SmtpPool, type PoolSettings } from './pool.js';
import { ReplyTimes } from './reply-times.js';
import { signedHeaders } from '../signing.js';

/** Milliseconds. */
const BULK_IDLE = 2_000;

/** An SMTP provider. Each lane has connections of its own, so that bulk cannot stand in front of priority. */
export class SmtpTransport implements Transport {
  readonly name: string;
  readonly region?: string;
  readonly server: { host: string; port: number };
  readonly lanes: readonly Lane[];
  readonly maxConnections: number;
  readonly bulkMessages: number;
  private readonly pools: Record<Lane, SmtpPool>;
  private readonly login: PoolSettings['login'];
  private readonly replies = new ReplyTimes();

  /** @param leases where processes share a limit of connections */
  constructor(
    private readonly options: SmtpTransportOptions,
    private readonly leases?: ConnectionLeases,
  ) {
    this.name = options.name;
    if (options.region !== undefined) this.region = options.region;
    this.server = { host: options.host, port: options.port };
    this.lanes = options.lanes;
    this.maxConnections = options.maxConnections;
    this.bulkMessages = MESSAGES_PER_CONNECTION * options.maxConnections;
    this.login = loginData(options.auth);
    const minWarm = options.lanes.includes('priority') ? options.minWarm : 0;
    this.pools = { priority: this.pool('priority', minWarm), bulk: this.pool('bulk', 0) };
  }

  async start(monitor: TransportMonitor): Promise<void> {
    await Promise.all([this.pools.priority.start(monitor), this.pools.bulk.start(monitor)]);
  }

  async send(outgoing: Outgoing, { lane, ...options }: SendOptions): Promise<Acceptance> {
    const { dkim, name } = this.options;
    if (!dkim) return this.pools[lane].send(outgoing, options);
    const begun = performance.now();
    const headers = await signedHeaders(name, dkim, outgoing, options.signal);
    const { handoverWithin } = options;
    if (handoverWithin !== undefined) {
      options.handoverWithin = Math.max(0, handoverWithin - (performance.now() - begun));
    }
    return this.pools[lane].send({ ...outgoing, headers }, options);
  }

  async verify(signal: AbortSignal): Promise<void> {
    const { priority, bulk } = this.pools;
    // Where connections are counted, one that is open must do: another may not be allowed.
    if (this.leases && ((await priority.works()) || (await bulk.works()))) return;
    await priority.verify(signal);
  }

  /** Moving average of what the replies to messages took, in milliseconds; undefined when there was none for a while. */
  get replyTime(): number | undefined {
    return this.replies.recent;
  }

  /** Milliseconds of a NOOP; where all its connections are at work, of the next reply to a message. @throws TransportError */
  async ping(signal: AbortSignal): Promise<number> {
    const { priority, bulk } = this.pools;
    const pool = this.lanes.includes('bulk') ? bulk : priority;
    // Where connections are counted, one that is open must do, whichever lane's it is.
    const idle = (this.leases ? [pool, priority] : [pool]).find(({ hasIdle }) => hasIdle);
    if (idle) return idle.ping(signal);
    if (!pool.isBusy) return pool.ping(signal);
    try {
      return await this.replies.next(signal);
    } catch (error) {
      throw notAsked(this.name, `${reasonOf(error)}; all connections are at work`, { cause: error });
    }
  }

  async close(within: number): Promise<void> {
    await Promise.all([this.pools.priority.close(within), this.pools.bulk.close(within)]);
    await this.leases?.close();
  }

  private pool(lane: Lane, minWarm: number): SmtpPool {
    const { leases, login } = this;
    // Where all processes share the connections, bulk mail gives back soon what it does not use.
    const idleTimeout =
      leases && lane === 'bulk' ? Math.min(this.options.idleTimeout, BULK_IDLE) : this.options.idleTimeout;
    return new SmtpPool(
      { ...this.options, idleTimeout },
      {
        minWarm,
        login,
        // A priority mail is not to be cut off by the one before it.
        inAdvance: lane === 'bulk',
        replies: this.replies,
        ...(leases ? { lease: (signal: AbortSignal) => leases.take(lane, signal) } : {}),
      },
    );
  }
}
