import { setTimeout as sleep } from 'node:timers/promises';
import type { Lane } from '../../message/message.js';
import { unlessAborted, within } from '../../within.js';
import { Places } from '../places.js';
import type { Acceptance, Outgoing, SendOptions, Transport, TransportError } from '../transport.js';
import type { Carrier, Handing } from './carrier.js';
import { foreignFailure } from './failure.js';

/** What is said of somebody else's transport here, checked and complete. */
export interface ForeignSettings {
  name: string;
  region?: string;
  lanes: readonly Lane[];
  /** Messages at once, per lane. */
  maxConnections: number;
  /** Of one message, from its place to its answer. Milliseconds. */
  timeout: number;
  /** It is closed with this. */
  owned: boolean;
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
  private readonly places: Places;
  /** What is under way, and what ends it. */
  private readonly underWay = new Map<Promise<unknown>, AbortController>();
  private trouble: { error: TransportError; at: number } | undefined;

  constructor(
    private readonly settings: ForeignSettings,
    private readonly carrier: Carrier,
  ) {
    const { name, region, lanes, maxConnections } = settings;
    this.name = name;
    if (region !== undefined) this.region = region;
    if (carrier.server) this.server = carrier.server;
    this.lanes = lanes;
    this.maxConnections = maxConnections;
    this.places = new Places(name, maxConnections);
  }

  async send(outgoing: Outgoing, options: SendOptions): Promise<Acceptance> {
    const begun = performance.now();
    const leave = await this.places.take(options);
    const sending = this.hand(outgoing, options, performance.now() - begun, leave);
    try {
      const acceptance = await sending;
      this.trouble = undefined;
      return acceptance;
    } catch (error) {
      this.learn(error as TransportError);
      throw error;
    }
  }

  async verify(signal: AbortSignal): Promise<void> {
    const { carrier, trouble } = this;
    this.places.checkOpen();
    // A check that logs in nowhere cannot tell that the key is right again.
    if (!carrier.verify && trouble && Date.now() - trouble.at < BELIEVED_FOR) throw trouble.error;
    const check = async (): Promise<unknown> => carrier.verify?.() ?? carrier.reach?.(signal);
    try {
      await unlessAborted(check(), signal);
    } catch (error) {
      throw foreignFailure(this.name, error, { recipients: 1, point: 'connect' });
    }
  }

  async close(within: number): Promise<void> {
    this.places.close(CLOSED);
    const timer = new AbortController();
    await Promise.race([
      Promise.all(this.underWay.keys()),
      sleep(within, undefined, { signal: timer.signal, ref: false }).catch(() => undefined),
    ]);
    timer.abort();
    for (const over of this.underWay.values()) over.abort(new Error(CLOSED));
    if (this.settings.owned) await this.carrier.close?.();
  }

  /** @param waited milliseconds of `handoverWithin` */
  private async hand(
    outgoing: Outgoing,
    { signal, handoverWithin }: SendOptions,
    waited: number,
    leave: () => void,
  ): Promise<Acceptance> {
    const over = new AbortController();
    const handing: Handing = { signal: over.signal, handedOver: true };
    const giveUp = (): void => over.abort(signal.reason);
    const late = (): void => {
      if (!handing.handedOver) over.abort(new Error(`Not handed over within ${Math.round(handoverWithin!)} ms`));
    };
    signal.addEventListener('abort', giveUp, { once: true });
    const timer = handoverWithin === undefined ? undefined : setTimeout(late, Math.max(0, handoverWithin - waited));
    const work = (async () => this.carrier.send(outgoing, handing))();
    this.keep(work, over, leave);
    try {
      return await unlessAborted(work, over.signal);
    } catch (error) {
      const point = handing.handedOver ? 'body' : 'mail';
      throw foreignFailure(this.name, error, { recipients: outgoing.envelope.to.length, point });
    } finally {
      clearTimeout(timer);
      signal.removeEventListener('abort', giveUp);
    }
  }

  /** Also what nobody waits for any more keeps its place for as long as it is under way; it may never come to an end. */
  private keep(work: Promise<unknown>, over: AbortController, leave: () => void): void {
    const { timeout } = this.settings;
    const late = (): Error => {
      const error = new Error(`No answer within ${timeout} ms`);
      over.abort(error);
      return error;
    };
    const settled = within(timeout, work, late)
      .catch(() => undefined)
      .then(() => {
        this.underWay.delete(settled);
        leave();
      });
    this.underWay.set(settled, over);
  }

  private learn(error: TransportError): void {
    if (!error.answered) return;
    this.trouble = error.kind === 'down' && !error.answersMessage ? { error, at: Date.now() } : undefined;
  }
}

const CLOSED = 'It is closed';
