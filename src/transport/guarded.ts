import type { MailEmitter } from '../events/emitter.js';
import type { Lane } from '../message/message.js';
import { BREAKER, CircuitBreaker, type Circuit } from './breaker.js';
import { MovingAverage } from './moving-average.js';
import type { Probe, ServerLoad } from './probe.js';
import type { Limit } from './rate-limit.js';
import {
  notAsked,
  TransportError,
  type Acceptance,
  type Outgoing,
  type SendOptions,
  type Transport,
} from './transport.js';
import { verdictOf } from './verdict.js';
import { CongestionWindow, type WindowState } from './window.js';

/** How a transport is doing, as seen from this process. */
export interface Standing {
  circuit: Circuit;
  /** Moving average of its round trips in milliseconds; undefined before the first. */
  latency?: number;
  lastError?: { at: Date; error: string };
  /** What its probe says; undefined without one. */
  load?: ServerLoad;
  /** Of the bulk messages of this process. */
  window: WindowState;
  /** What whoever runs it should know. */
  notice?: string;
}

/** What a transport is guarded by beside its circuit breaker, and what its share of the bulk mail is. */
export interface Guards {
  limit?: Limit | undefined;
  probe?: Probe | undefined;
  /** Of the bulk mail, with `balance: 'weighted'`. Default: the transport's own, or 1. */
  weight?: number | undefined;
  /** Default: one that begins with all the messages the transport takes. */
  window?: CongestionWindow | undefined;
  /** Whoever gave the transport may give it again: it is not closed. */
  lent?: boolean | undefined;
}

/** A check that has taken longer has failed. */
const CHECK_WITHIN = 15_000;
/** An attempt that was given up sooner says nothing about the transport. */
const PATIENCE = 1_000;
/** After a failure that did not open the circuit, the transport is checked this soon. */
const CHECK_AFTER = 1_000;

/**
 * A transport with its circuit breaker, its measured latency, its rate limit and its congestion window, which all sends of
 * the process share.
 *
 * After a failure it is checked in the background until it works again, so that no message has to find that out. While
 * the circuit is open bulk mail is refused at once; a priority mail, which comes here only when nothing else is left, is
 * the probe, or waits for the one under way.
 */
export class GuardedTransport implements Transport {
  readonly name: string;
  readonly region?: string;
  readonly server?: { host: string; port: number };
  readonly lanes: readonly Lane[];
  readonly maxConnections: number;
  readonly bulkMessages: number;
  readonly weight: number;
  /** Of bulk mail. Whoever dispatches takes the places; what the server answers is told by {@link send}. */
  readonly window: CongestionWindow;
  private readonly breaker: CircuitBreaker;
  private readonly limit: Limit | undefined;
  private readonly watch: Probe | undefined;
  private readonly lent: boolean;
  private readonly latency = new MovingAverage();
  private lastError: Standing['lastError'];
  private timer: NodeJS.Timeout | undefined;
  private probing: Promise<void> | undefined;
  /** The probe under way is a check in the background. */
  private checking = false;
  private readonly closing = new AbortController();
  private downSince = 0;
  /** When the last bulk message was accepted; milliseconds since the epoch, 0 before the first. */
  bulkAcceptedAt = 0;
  /** Called when bulk mail that had no room may have some, such as when the circuit has closed. */
  onRoom: (() => void) | undefined;
  /** The login was refused at last: the credentials may have changed. */
  loginRefused = false;

  constructor(
    private readonly inner: Transport,
    private readonly events: Pick<MailEmitter, 'emit'>,
    { limit, probe, weight, window, lent = false }: Guards = {},
  ) {
    this.lent = lent;
    this.limit = limit;
    this.watch = probe ?? inner.probe;
    this.name = inner.name;
    if (inner.region !== undefined) this.region = inner.region;
    if (inner.server) this.server = inner.server;
    this.lanes = inner.lanes;
    this.maxConnections = inner.maxConnections;
    // What has passed the limit is to leave at once: two of a connection's messages would come late, all together.
    this.bulkMessages = (limit ? undefined : inner.bulkMessages) ?? inner.maxConnections;
    this.weight = weight ?? inner.weight ?? 1;
    this.window = window ?? new CongestionWindow(this.bulkMessages);
    this.breaker = new CircuitBreaker(BREAKER, (change) => this.changed(change));
  }

  get standing(): Standing {
    const { value } = this.latency;
    return {
      circuit: this.breaker.circuit,
      ...(value === undefined ? {} : { latency: value }),
      ...(this.lastError ? { lastError: this.lastError } : {}),
      ...(this.watch ? { load: this.watch.load } : {}),
      window: this.window.state,
      ...(this.inner.notice ? { notice: this.inner.notice } : {}),
    };
  }

  get circuit(): Circuit {
    return this.breaker.circuit;
  }

  /** What its probe says; undefined without one. */
  get load(): ServerLoad | undefined {
    return this.watch?.load;
  }

  /** Its probe, if it has one, lets bulk mail in. */
  get admitsBulk(): boolean {
    return this.watch?.admits ?? true;
  }

  /** Its rate limit is what bulk mail waits for. */
  get holdsBulk(): boolean {
    return this.limit?.holdsBulk ?? false;
  }

  async start(): Promise<void> {
    await Promise.all([
      this.inner.start?.({
        roundTrip: (milliseconds) => this.latency.add(milliseconds),
        connectFailed: (error) => this.learn(error, 'priority'),
        rateAllowed: (perSecond) => this.limit?.follow?.(perSecond),
      }),
      this.watch?.start(() => this.onRoom?.()),
    ]);
  }

  async send(outgoing: Outgoing, options: SendOptions): Promise<Acceptance> {
    const until = options.handoverWithin === undefined ? undefined : performance.now() + options.handoverWithin;
    const left = (): SendOptions =>
      until === undefined ? options : { ...options, handoverWithin: Math.max(0, until - performance.now()) };
    // What waits below belongs to the burst of those it came with.
    const burst = this.window.burst;
    if (options.lane === 'bulk' && this.breaker.circuit.state !== 'closed') await this.recovery(options);
    if (this.limit) await this.limit.take(left(), outgoing.envelope.to.length);
    if (options.stillWanted?.() === false) throw notAsked(this.name, 'It was no longer wanted');
    // Begun in the same turn, so that whoever comes next finds the probe to wait for.
    if (options.lane === 'priority' && this.breaker.probe())
      return this.asProbe(() => this.attempt(outgoing, left(), burst));
    if (this.breaker.circuit.state !== 'closed') await this.recovery(left());
    return this.attempt(outgoing, left(), burst);
  }

  async verify(signal: AbortSignal): Promise<void> {
    try {
      await this.inner.verify(signal);
      this.passed();
    } catch (error) {
      // Who gave up has learnt nothing.
      if (!signal.aborted) this.learn(error, 'priority');
      throw error;
    }
  }

  async close(within: number): Promise<void> {
    clearTimeout(this.timer);
    this.watch?.stop();
    this.closing.abort(new Error(`The mail transport ${this.name} is closing`));
    // Nothing is sent any more, whatever it says.
    if (!this.lent) await this.inner.close(within).catch(() => undefined);
  }

  private passed(): void {
    this.loginRefused = false;
    this.breaker.passed();
  }

  private async attempt(outgoing: Outgoing, options: SendOptions, burst: number): Promise<Acceptance> {
    const begun = performance.now();
    try {
      const acceptance = await this.inner.send(outgoing, options);
      if (!this.inner.start) this.latency.add(performance.now() - begun);
      this.loginRefused = false;
      this.breaker.succeeded();
      if (options.lane === 'bulk') {
        this.bulkAcceptedAt = Date.now();
        this.window.accepted(burst);
      }
      return acceptance;
    } catch (error) {
      if (options.lane === 'bulk' && error instanceof TransportError) this.tellWindow(error, burst);
      // Silence teaches nothing to who did not listen for long; but it is worth a look.
      const took = performance.now() - begun;
      const cutShort = took < PATIENCE && (options.signal.aborted || took >= (options.handoverWithin ?? Infinity));
      if (cutShort && error instanceof TransportError && !error.answered) this.checkLater();
      else this.learn(error, options.lane);
      throw error;
    }
  }

  private tellWindow(error: TransportError, burst: number): void {
    const { kind, reply, replyCode, answersMessage } = error;
    if (kind === 'busy') this.window.refused(burst, { reply, replyCode });
    // It is reached, and says that it will have nothing of us, such as when an address is blocked; or of this sender.
    else if (answersMessage && kind === 'down') this.window.unwanted(burst, reply);
    else if (error.scope !== 'transport' && error.answered) this.window.answered(burst);
  }

  /** With the circuit not closed: waits for the probe under way, unless it is bulk mail's. @throws TransportError */
  private async recovery({ lane, signal, handoverWithin }: SendOptions): Promise<void> {
    // The background check may hang for longer than this message can wait: the other half of the time is for trying it.
    const within = this.checking && handoverWithin !== undefined ? handoverWithin / 2 : handoverWithin;
    if (lane === 'priority') await settled(this.probing, signal, within);
    const { circuit } = this.breaker;
    if (circuit.state === 'closed' || (lane === 'priority' && this.checking && !signal.aborted)) return;
    const retryAt = circuit.state === 'open' ? circuit.until : Date.now() + CHECK_AFTER;
    throw notAsked(this.name, `It is down and not asked for now. Its last failure: ${circuit.reason}`, { retryAt });
  }

  private async asProbe<T>(work: () => Promise<T>): Promise<T> {
    clearTimeout(this.timer);
    const probe = work();
    this.probing = probe.then(
      () => undefined,
      () => undefined,
    );
    try {
      return await probe;
    } finally {
      // Neither an answer nor a broken connection came of it, such as a deadline: nothing has been learnt.
      const { circuit } = this.breaker;
      if (circuit.state === 'half-open') {
        this.breaker.failed(circuit.reason);
        this.checkLater();
      }
    }
  }

  private learn(error: unknown, lane: Lane): void {
    if (this.closing.signal.aborted || !(error instanceof TransportError)) return;
    const verdict = verdictOf(error, lane);
    if (verdict === 'works') return this.breaker.succeeded();
    if (error.phase === 'auth') this.loginRefused = true;
    if (error.phase !== 'queue') this.lastError = { at: new Date(), error: error.message };
    if (verdict === 'unclear') return;
    this.breaker.failed(error.message);
    this.checkLater();
  }

  private checkLater(): void {
    clearTimeout(this.timer);
    const { circuit } = this.breaker;
    if (circuit.state === 'half-open' || this.closing.signal.aborted) return;
    const wait = circuit.state === 'open' ? Math.max(0, circuit.until - Date.now()) : CHECK_AFTER;
    this.timer = setTimeout(() => void this.check().catch(() => undefined), wait);
    this.timer.unref();
  }

  private async check(): Promise<void> {
    const late = new AbortController();
    const timer = setTimeout(() => late.abort(new Error(`No answer within ${CHECK_WITHIN} ms`)), CHECK_WITHIN);
    timer.unref();
    const verify = async (): Promise<void> => {
      try {
        await this.inner.verify(AbortSignal.any([late.signal, this.closing.signal]));
        this.passed();
      } catch (error) {
        this.learn(error, 'priority');
        throw error;
      }
    };
    try {
      this.checking = this.breaker.probe();
      await (this.checking ? this.asProbe(verify) : verify());
    } finally {
      this.checking = false;
      clearTimeout(timer);
    }
  }

  private changed(change: 'down' | 'up'): void {
    const { name: transport, region } = this;
    const base = { transport, ...(region === undefined ? {} : { region }) };
    const { circuit } = this.breaker;
    if (circuit.state === 'open') {
      this.downSince = circuit.since;
      this.events.emit('transport-down', { ...base, reason: circuit.reason, retryAt: new Date(circuit.until) });
    } else if (change === 'up') {
      clearTimeout(this.timer);
      this.events.emit('transport-up', { ...base, downFor: Date.now() - this.downSince });
      this.onRoom?.();
    }
  }
}

/** Resolves when the probe has ended, whatever it found, or the caller's time is up. */
async function settled(probing: Promise<void> | undefined, signal: AbortSignal, within?: number): Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  let stop: (() => void) | undefined;
  const over = new Promise<void>((resolve) => {
    stop = resolve;
    if (within !== undefined) timer = setTimeout(resolve, within);
    signal.addEventListener('abort', stop, { once: true });
  });
  await Promise.race([probing, over]);
  clearTimeout(timer);
  signal.removeEventListener('abort', stop!);
}
