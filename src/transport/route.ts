import { MailValidationError } from '../errors.js';
import type { Lane } from '../message/message.js';
import { type GuardedTransport } from './guarded.js';
import { rank, type Ranked } from './ranking.js';
import type { Tenants } from './tenants.js';
import type { Transport } from './transport.js';

/** For connections to open at boot; a provider that is down does not hold up the application. */
const WARM_WITHIN = 3_000;

/** The transports a message may take, the nearest healthy one first. */
export class Routes {
  private readonly byName: ReadonlyMap<string, GuardedTransport>;

  /** @param region where this process runs */
  constructor(
    readonly transports: readonly GuardedTransport[],
    private readonly region: string | undefined,
    private readonly tenants?: Tenants,
  ) {
    this.byName = new Map(transports.map((transport) => [transport.name, transport]));
  }

  /** Opens the connections that are kept, and waits for them a moment. */
  async start(): Promise<void> {
    let timer: NodeJS.Timeout | undefined;
    const enough = new Promise<void>((resolve) => (timer = setTimeout(resolve, WARM_WITHIN)));
    await Promise.race([Promise.all(this.transports.map((transport) => transport.start())), enough]);
    clearTimeout(timer);
  }

  /** The transports of a lane in the order in which they are tried now, and why. */
  ranking(lane: Lane): Ranked[] {
    return rank(
      this.transports.filter(({ lanes }) => lanes.includes(lane)),
      this.region,
    );
  }

  /**
   * @param forced the name of the only transport that may be taken
   * @throws MailValidationError when there is none of that name
   * @throws TransportError when `resolveTransport` failed
   */
  async for(lane: Lane, forced?: string): Promise<readonly Transport[]> {
    if (forced === undefined) return this.ranking(lane).map(({ transport }) => transport);
    const transport = this.byName.get(forced) ?? (await this.tenants?.get(forced));
    if (transport) return [transport];
    throw this.unknown(forced);
  }

  /** A name that cannot exist is told at once; a tenant's is looked up where the mail is sent. @throws MailValidationError */
  check(forced: string | undefined): void {
    if (forced !== undefined && !this.byName.has(forced) && !this.tenants) throw this.unknown(forced);
  }

  /** Messages of the bulk lane that this process has under way at once. */
  get bulkMessages(): number {
    const bulk = this.transports.filter(({ lanes }) => lanes.includes('bulk'));
    return bulk.reduce((sum, transport) => sum + transport.bulkMessages, 0);
  }

  /** Bulk mail waits for a rate limit. */
  get rateLimited(): boolean {
    return this.transports.some(({ holdsBulk }) => holdsBulk);
  }

  /** A transport of the bulk lane is down. */
  get bulkDown(): boolean {
    return this.transports.some(({ lanes, standing }) => lanes.includes('bulk') && standing.circuit.state !== 'closed');
  }

  async close(within: number): Promise<void> {
    await Promise.all([
      ...this.transports.map((transport) => transport.close(within)),
      ...(this.tenants ? [this.tenants.close(within)] : []),
    ]);
  }

  private unknown(name: string): MailValidationError {
    const known = [...this.byName.keys()].join(', ');
    const resolver = this.tenants ? ', and resolveTransport knows none of that name' : '';
    const message = `${JSON.stringify(name)} is not configured; known are ${known}${resolver}`;
    return new MailValidationError([{ path: 'transport', message }]);
  }
}
