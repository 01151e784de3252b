/** A message as it was handed in. */
export interface Arrival {
  recipients: string[];
  /** Headers and body as they were on the line. */
  message: Buffer;
}

export interface SmtpSessionEvents {
  reply(text: string): void;
  /** The next command is not looked at before it resolves, nor is the message accepted. */
  arrived(arrival: Arrival): Promise<void> | void;
  quit(): void;
}

const LINE_END = '\r\n';
const MESSAGE_END = '\r\n.\r\n';
const GREETING = [
  '250-sink.test',
  '250-PIPELINING',
  '250-8BITMIME',
  '250-SMTPUTF8',
  '250 ENHANCEDSTATUSCODES',
  '',
].join(LINE_END);

/** The server's side of a connection that accepts everything, PIPELINING included. It says the 220 itself. */
export class SmtpSession {
  readonly #events: SmtpSessionEvents;
  #unread: Buffer = Buffer.alloc(0);
  #recipients: string[] = [];
  #inData = false;
  #busy = false;

  constructor(events: SmtpSessionEvents) {
    this.#events = events;
    events.reply('220 sink.test ESMTP\r\n');
  }

  take(chunk: Buffer): void {
    this.#unread = this.#unread.length === 0 ? chunk : Buffer.concat([this.#unread, chunk]);
    this.#read();
  }

  #read(): void {
    while (!this.#busy && (this.#inData ? this.#readMessage() : this.#readCommand()));
  }

  #readCommand(): boolean {
    const end = this.#unread.indexOf(LINE_END);
    if (end < 0) return false;
    const line = this.#unread.toString('latin1', 0, end);
    const verb = line.slice(0, 4).toUpperCase();
    // DATA keeps its line end: an empty message's dot stands right behind it.
    this.#unread = this.#unread.subarray(verb === 'DATA' ? end : end + 2);
    switch (verb) {
      case 'EHLO':
        this.#events.reply(GREETING);
        break;
      case 'MAIL':
        this.#recipients = [];
        this.#events.reply('250 2.1.0 Ok\r\n');
        break;
      case 'RCPT':
        this.#recipients.push(/<(.*?)>/.exec(line)?.[1] ?? line);
        this.#events.reply('250 2.1.5 Ok\r\n');
        break;
      case 'DATA':
        this.#inData = true;
        this.#events.reply('354 Go on\r\n');
        break;
      case 'QUIT':
        this.#events.reply('221 2.0.0 Bye\r\n');
        this.#events.quit();
        break;
      default:
        this.#events.reply('250 2.0.0 Ok\r\n');
    }
    return true;
  }

  #readMessage(): boolean {
    const end = this.#unread.indexOf(MESSAGE_END);
    if (end < 0) return false;
    const message = this.#unread.subarray(LINE_END.length, end + LINE_END.length);
    this.#unread = this.#unread.subarray(end + MESSAGE_END.length);
    this.#inData = false;
    const accepted = this.#events.arrived({ recipients: this.#recipients, message });
    if (!accepted) {
      this.#accept();
      return true;
    }
    this.#busy = true;
    void accepted.then(() => {
      this.#busy = false;
      this.#accept();
      this.#read();
    });
    return false;
  }

  #accept(): void {
    this.#events.reply('250 2.0.0 Ok: queued\r\n');
  }
}
