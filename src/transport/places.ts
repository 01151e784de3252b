import { reasonOf } from '../errors.js';
import type { Lane } from '../message/message.js';
import { notAsked, type SendOptions } from './transport.js';
import { WaitingLine } from './waiting-line.js';

/** So many messages of each lane at once; the others wait in line. */
export class Places {
  private readonly lanes: Record<Lane, Room>;
  private reason: string | undefined;

  /** @param transport its name, for errors */
  constructor(
    private readonly transport: string,
    size: number,
  ) {
    this.lanes = { priority: new Room(size), bulk: new Room(size) };
  }

  /**
   * @returns gives the place back
   * @throws TransportError who waits in line has asked the transport nothing: it is `not-sent`
   */
  async take({ lane, signal, handoverWithin, stillWanted, mayHandOver }: SendOptions): Promise<() => void> {
    this.checkOpen();
    if (signal.aborted) throw notAsked(this.transport, reasonOf(signal.reason), { cause: signal.reason });
    let leave: () => void;
    try {
      leave = await this.lanes[lane].enter(signal, handoverWithin);
    } catch (error) {
      throw notAsked(this.transport, reasonOf(error), { cause: error });
    }
    if (stillWanted?.() !== false && mayHandOver?.() !== false) return leave;
    leave();
    throw notAsked(this.transport, 'It was no longer wanted');
  }

  /** @throws TransportError it is closed */
  checkOpen(): void {
    if (this.reason !== undefined) throw notAsked(this.transport, this.reason);
  }

  /** Lets nobody in any more, and tells those in line. */
  close(reason: string): void {
    this.reason = reason;
    for (const room of Object.values(this.lanes)) room.dismiss(new Error(reason));
  }
}

/** Of one lane. */
class Room {
  private taken = 0;
  private readonly line = new WaitingLine<void>();

  constructor(private readonly size: number) {}

  /** @throws Error it had to wait for too long, or its signal has aborted */
  async enter(signal: AbortSignal, within: number | undefined): Promise<() => void> {
    if (this.taken < this.size) this.taken++;
    else {
      const ignored = (): void => undefined;
      await this.line.wait({ signal, within, onHalf: ignored, onLeave: ignored });
    }
    return () => {
      // Whoever waits takes the place over.
      if (!this.line.serve()) this.taken--;
    };
  }

  dismiss(error: Error): void {
    this.line.dismiss(error);
  }
}
