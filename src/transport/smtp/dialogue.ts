import type { Socket } from 'node:net';
import { passedOn, stepsOf } from './steps.js';

/** A complete reply; the lines of a long one are joined with LF. */
export interface Reply {
  /** RFC 5321 §4.2; 0 for what is no reply. */
  code: number;
  text: string;
}

/** Longer than any reply that means well. */
const MAX_REPLY = 1024 * 1024;

const END_OF_DATA = Buffer.from('.\r\n');

/** Commands and replies over an open session, in the order in which they were sent (RFC 2920). */
export class Dialogue {
  private readonly awaited: ((reply: Reply) => void)[] = [];
  /** The lines so far of a reply that goes on. */
  private lines = '';
  /** A line that has not ended. */
  private rest = '';
  private over = false;

  /**
   * @param onUnasked what the server says that answers nothing, such as 421 before it hangs up, or more than it may;
   *   the session is over
   */
  constructor(
    private readonly socket: Socket,
    private readonly onUnasked: (reply: Reply) => void,
  ) {
    socket.on('data', this.read);
  }

  /** The server has hung up, perhaps before it ended the line of a refusal. */
  finish(): void {
    if (/^[45]\d\d[ -]/.test(this.rest)) this.awaited.shift()?.(replyOf(this.rest));
    this.rest = '';
  }

  /** @param replies one for each command of them that is answered */
  say(commands: string, ...replies: ((reply: Reply) => void)[]): void {
    this.awaited.push(...replies);
    this.socket.write(Buffer.from(commands));
  }

  /**
   * Sends a body whose dots are stuffed, and the dot that ends it. A large one goes as the socket takes it.
   *
   * @param onReply is told whether all of the body had been written when it came
   * @param more whether the next commands follow in this turn of the event loop; they then leave in the same packet
   * @param mayLeave asked again at the end of that turn, since a process can be stopped in the middle of it, and before the
   *   end of a large body; false keeps it back, and ends the connection
   */
  hand(
    parts: readonly Buffer[],
    onReply: (reply: Reply, isHanded: boolean) => void,
    more: () => boolean,
    mayLeave: () => boolean,
    onKeptBack: () => void,
  ): void {
    let isHanded = false;
    this.awaited.push((reply) => onReply(reply, isHanded));
    const { socket } = this;
    const keepBack = (): void => {
      // An orderly end would write what is held.
      socket.destroy();
      onKeptBack();
    };
    const end = (last: readonly Buffer[]): void => {
      isHanded = true;
      socket.cork();
      for (const part of last) socket.write(part);
      socket.write(END_OF_DATA);
      if (!more()) return socket.uncork();
      setImmediate(() => (mayLeave() ? socket.uncork() : keepBack()));
    };
    const steps = stepsOf(parts);
    const last = steps.pop()!;
    if (steps.length === 0) return end(last);
    void this.pour(steps).then(
      () => {
        // Somebody was told that it has not been sent.
        if (this.over) return;
        if (mayLeave()) end(last);
        else keepBack();
      },
      // What becomes of the connection is told to whoever has it.
      () => undefined,
    );
  }

  private async pour(steps: readonly (readonly Buffer[])[]): Promise<void> {
    for (const step of steps) {
      if (this.over) throw new Error('The session is over');
      await passedOn(this.socket, step);
    }
  }

  /** Hears nothing more. */
  end(): void {
    this.over = true;
    this.socket.off('data', this.read);
    this.awaited.length = 0;
  }

  private readonly read = (chunk: Buffer): void => {
    const text = this.rest + chunk.toString('latin1');
    let from = 0;
    for (let end = text.indexOf('\n'); end >= 0 && !this.over; end = text.indexOf('\n', from)) {
      this.line(text.slice(from, text[end - 1] === '\r' ? end - 1 : end));
      from = end + 1;
    }
    this.rest = text.slice(from);
    if (this.rest.length + this.lines.length > MAX_REPLY) this.onUnasked({ code: 0, text: 'The reply has no end' });
  };

  private line(line: string): void {
    if (/^\d+-/.test(line)) {
      this.lines += `${line}\n`;
      return;
    }
    if (this.lines === '' && line.trim() === '') return;
    const reply = replyOf(this.lines + line);
    this.lines = '';
    const next = this.awaited.shift();
    // RFC 5321 §3.8: after it there is nothing more to hear, whatever comes in the same packet.
    if (reply.code === 421) this.end();
    if (next) next(reply);
    else this.onUnasked(reply);
  }
}

/** A reply's text has no charset (RFC 5321 §4.2.1): UTF-8 where it can be, else octet by octet. */
function replyOf(octets: string): Reply {
  const code = Number(/^\d{3}(?!\d)/.exec(octets)?.[0] ?? 0);
  if (!/[\x80-\xff]/.test(octets)) return { code, text: octets };
  const text = Buffer.from(octets, 'latin1').toString();
  return { code, text: text.includes('\ufffd') ? octets : text };
}
