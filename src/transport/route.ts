import { MailValidationError } from '../errors.js';
import type { Lane } from '../message/message.js';
import type { Balance } from './balance.js';
import type { Dispatch } from './dispatch.js';
import { Dispatcher } from './dispatcher.js';
import { type GuardedTransport } from './guarded.js';
import { rank, type Ranked } from './ranking.js';
import type { Tenants } from './tenants.js';
import type { Transport } from './transport.js';

/** For connections to open at boot; a provider that is down does not hold up the application. */
const WARM_WITHIN = 3_000;
/** Bulk mail of which no transport is forced waits this long in its place: other batches would find the same. Milliseconds. */
const PATIENCE = 2_000;

/** The transports a message may take, the nearest healthy one first. */
export class Routes {
  private readonly byName: ReadonlyMap<string, GuardedTransport>;
  private readonly dispatcher: Dispatcher;
  private readonly lines: Record<Lane, Dispatch>;

  /**
   * @param region where this process runs
   * @param balance how transports share the bulk mail
   */
  constructor(
    readonly transports: readonly GuardedTransport[],
    private readonly region: string | undefined,
    private readonly tenants?: Tenants,
    balance: Balance = 'least-loaded',
  ) {
    this.byName = new Map(transports.map((transport) => [transport.name, transport]));
    this.dispatcher = new Dispatcher(balance);
    const line = (lane: Lane): Dispatch => this.dispatcher.line(() => this.ranking(lane), PATIENCE);
    this.lines = { priority: line('priority'), bulk: line('bulk') };
    for (const transport of transports) this.wakeFor(transport);
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
    return [await this.named(forced)];
  }

  /**
   * The same for the messages of a batch, which share the transports that have room for them. With a forced one they are
   * told at once when it has none.
   *
   * @throws like {@link for}
   */
  async dispatch(lane: Lane, forced?: string): Promise<Dispatch> {
    if (forced === undefined) return this.lines[lane];
    const transport = await this.named(forced);
    this.wakeFor(transport);
    return this.dispatcher.line(() => [{ transport, near: true }], 0);
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

  /** Bulk mail waits for a transport to have room. */
  get crowded(): boolean {
    return this.dispatcher.crowded;
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

  private async named(name: string): Promise<GuardedTransport> {
    const transport = this.byName.get(name) ?? (await this.tenants?.get(name));
    if (transport) return transport;
    throw this.unknown(name);
  }

  private wakeFor(transport: GuardedTransport): void {
    transport.onRoom = () => this.dispatcher.serve();
  }

  private unknown(name: string): MailValidationError {
    const known = [...this.byName.keys()].join(', ');
    const resolver = this.tenants ? ', and resolveTransport knows none of that name' : '';
    const message = `${JSON.stringify(name)} is not configured; known are ${known}${resolver}`;
    return new MailValidationError([{ path: 'transport', message }]);
  }
}
