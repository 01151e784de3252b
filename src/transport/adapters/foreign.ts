import { setTimeout as sleep } from 'node:timers/promises';
import { reasonOf } from '../../errors.js';
import { LANES, type Lane } from '../../message/message.js';
import { notAsked, type Acceptance, type Outgoing, type SendOptions, type Transport } from '../transport.js';
import type { TransportError } from '../transport.js';
import type { Carrier, Handing } from './carrier.js';
import { foreignFailure } from './failure.js';
import { Places } from './places.js';

/** What is said of somebody else's transport here, checked and complete. */
export interface ForeignSettings {
  name: string;
  region?: string;
  lanes: readonly Lane[];
  /** Messages at once, per lane. */
  maxConnections: number;
}

/** What a provider has said of every message holds for a check as well, for this long. Milliseconds. */
const BELIEVED_FOR = 60_000;

/** Somebody else's transport, such as one of `@nestjs/mail` or of nodemailer, as one of this package. */
export class ForeignTransport implements Transport {
  readonly name: string;
  readonly region?: string;
  readonly server?: { host: string; port: number };
  readonly lanes: readonly Lane[];
  readonly maxConnections: number;
  private readonly places: Record<Lane, Places>;
  private readonly inFlight = new Set<Promise<unknown>>();
  private readonly closing = new AbortController();
  private closed = false;
  private trouble: { error: TransportError; at: number } | undefined;

  constructor(
    { name, region, lanes, maxConnections }: ForeignSettings,
    private readonly carrier: Carrier,
  ) {
    this.name = name;
    if (region !== undefined) this.region = region;
    if (carrier.server) this.server = carrier.server;
    this.lanes = lanes;
    this.maxConnections = maxConnections;
    this.places = { priority: new Places(maxConnections), bulk: new Places(maxConnections) };
  }

  async send(outgoing: Outgoing, options: SendOptions): Promise<Acceptance> {
    const begun = performance.now();
    const leave = await this.place(options);
    // Also what nobody waits for any more keeps its place for as long as it is under way.
    const sending = this.hand(outgoing, options, performance.now() - begun, leave);
    this.inFlight.add(sending.settled);
    void sending.settled.finally(() => this.inFlight.delete(sending.settled));
    try {
      const acceptance = await sending.acceptance;
      this.trouble = undefined;
      return acceptance;
    } catch (error) {
      this.learn(error as TransportError);
      throw error;
    }
  }

  async verify(signal: AbortSignal): Promise<void> {
    const { carrier, trouble } = this;
    if (this.closed) throw notAsked(this.name, CLOSED);
    // A check that logs in nowhere cannot tell that the key is right again.
    if (!carrier.verify && trouble && Date.now() - trouble.at < BELIEVED_FOR) throw trouble.error;
    const either = AbortSignal.any([signal, this.closing.signal]);
    const check = async (): Promise<unknown> => carrier.verify?.() ?? carrier.reach?.(either);
    try {
      await unlessAborted(check(), either);
    } catch (error) {
      throw foreignFailure(this.name, error, { recipients: 1, point: 'connect' });
    }
  }

  async close(within: number): Promise<void> {
    this.closed = true;
    for (const lane of LANES) this.places[lane].dismiss(new Error(CLOSED));
    const timer = new AbortController();
    await Promise.race([
      Promise.allSettled(this.inFlight),
      sleep(within, undefined, { signal: timer.signal, ref: false }).catch(() => undefined),
    ]);
    timer.abort();
    this.closing.abort(new Error(CLOSED));
    await this.carrier.close?.();
  }

  /** @throws TransportError */
  private async place({ lane, signal, handoverWithin, stillWanted, mayHandOver }: SendOptions): Promise<() => void> {
    if (this.closed) throw notAsked(this.name, CLOSED);
    if (signal.aborted) throw notAsked(this.name, reasonOf(signal.reason), { cause: signal.reason });
    let leave: () => void;
    try {
      leave = await this.places[lane].take(signal, handoverWithin);
    } catch (error) {
      throw notAsked(this.name, reasonOf(error), { cause: error });
    }
    if (stillWanted?.() !== false && mayHandOver?.() !== false) return leave;
    leave();
    throw notAsked(this.name, 'It was no longer wanted');
  }

  private hand(
    outgoing: Outgoing,
    { signal, handoverWithin }: SendOptions,
    waited: number,
    leave: () => void,
  ): { acceptance: Promise<Acceptance>; settled: Promise<unknown> } {
    const late = new AbortController();
    const handing: Handing = {
      signal: AbortSignal.any([signal, this.closing.signal, late.signal]),
      handedOver: true,
    };
    const work = (async () => this.carrier.send(outgoing, handing))();
    const settled = work.catch(() => undefined).finally(leave);
    const timer =
      handoverWithin === undefined
        ? undefined
        : setTimeout(
            () => {
              if (!handing.handedOver) late.abort(new Error(`Not handed over within ${Math.round(handoverWithin)} ms`));
            },
            Math.max(0, handoverWithin - waited),
          );
    const acceptance = unlessAborted(work, handing.signal)
      .catch((error: unknown) => {
        const point = handing.handedOver ? 'body' : 'mail';
        throw foreignFailure(this.name, error, { recipients: outgoing.envelope.to.length, point });
      })
      .finally(() => clearTimeout(timer));
    return { acceptance, settled };
  }

  private learn(error: TransportError): void {
    if (!error.answered) return;
    this.trouble = error.kind === 'down' && !error.answersMessage ? { error, at: Date.now() } : undefined;
  }
}

const CLOSED = 'It is closed';

/** What the work comes to, unless the signal aborts before: not every transport listens to it. */
async function unlessAborted<T>(work: Promise<T>, signal: AbortSignal): Promise<T> {
  let abort: (() => void) | undefined;
  const aborted = new Promise<never>((_, reject) => {
    abort = (): void => reject(signal.reason as Error);
    if (signal.aborted) abort();
    else signal.addEventListener('abort', abort, { once: true });
  });
  try {
    return await Promise.race([work, aborted]);
  } finally {
    signal.removeEventListener('abort', abort!);
  }
}
