import type { Lane } from '../../message/message.js';
import { unlessAborted } from '../../within.js';
import { notAsked, type SendOptions } from '../transport.js';

/** One request and its answer: who may still end it, and whether SES may have read it. */
export class Exchange {
  readonly lane: Lane;
  /** What the request carries may have been read. */
  begun = false;
  private readonly ending = new AbortController();
  private readonly timer: NodeJS.Timeout | undefined;
  private begunAt = 0;

  constructor(
    private readonly transport: string,
    private readonly options: Omit<SendOptions, 'stillWanted'>,
  ) {
    const { lane, signal, handoverWithin } = options;
    this.lane = lane;
    if (signal.aborted) this.aborted();
    else signal.addEventListener('abort', this.aborted, { once: true });
    if (handoverWithin === undefined) return;
    const late = `The message could not be handed over within ${Math.round(handoverWithin)} ms`;
    this.timer = setTimeout(() => this.end(new Error(late)), handoverWithin);
  }

  /** Aborts with the caller's signal, or when it has not {@link begin begun} in time. */
  get signal(): AbortSignal {
    return this.ending.signal;
  }

  end(reason: Error): void {
    this.ending.abort(reason);
  }

  /** Milliseconds since the request left. */
  get took(): number {
    return performance.now() - this.begunAt;
  }

  /** The connection stands, and the request leaves. @throws TransportError it is not to */
  begin(): void {
    this.signal.throwIfAborted();
    if (this.options.mayHandOver?.() === false) throw notAsked(this.transport, 'It was no longer wanted');
    clearTimeout(this.timer);
    this.begun = true;
    this.begunAt = performance.now();
  }

  /** What the work comes to, unless it is ended before. The SDK listens to nothing while it looks for credentials. */
  race<T>(work: Promise<T>): Promise<T> {
    return unlessAborted(work, this.signal);
  }

  close(): void {
    clearTimeout(this.timer);
    this.options.signal.removeEventListener('abort', this.aborted);
  }

  private readonly aborted = (): void => this.end(this.options.signal.reason as Error);
}
