import type { Socket } from 'node:net';
import type { Mood, Step } from './moods.js';

/** What the conversations of one mail server share. */
export interface MailServer {
  /** Asked once for each RCPT. */
  moodFor(recipient: string): Mood | undefined;
  /** It has the message, and says so unless `answered` is false. */
  accept(message: { client: string; recipient: string; messageId: string; answered: boolean }): void;
}

const MESSAGE_END = '\r\n.\r\n';
const GREETING = ['250-chaos.test', '250-PIPELINING', '250-8BITMIME', '250-AUTH PLAIN', '250 ENHANCEDSTATUSCODES'];

/** The server's side of one SMTP connection: messages with one recipient each, in the mood that the server has for it. */
export class Conversation {
  #unread: Buffer = Buffer.alloc(0);
  /** The user it logged in as, which tells processes apart. */
  #client = '?';
  #recipient: string | undefined;
  #mood: Mood | undefined;
  #inBody = false;
  #over = false;
  readonly #socket: Socket;
  readonly #server: MailServer;

  constructor(socket: Socket, server: MailServer) {
    this.#socket = socket;
    this.#server = server;
    socket.on('data', (chunk: Buffer) => this.#take(chunk));
    socket.on('error', () => socket.destroy());
    this.#say('220 chaos.test ESMTP');
  }

  #take(chunk: Buffer): void {
    this.#unread = this.#unread.length === 0 ? chunk : Buffer.concat([this.#unread, chunk]);
    while (!this.#over && (this.#inBody ? this.#readBody() : this.#readCommand()));
  }

  #readCommand(): boolean {
    const end = this.#unread.indexOf('\r\n');
    if (end < 0) return false;
    const line = this.#unread.toString('latin1', 0, end);
    const verb = line.slice(0, 4).toUpperCase();
    // DATA keeps its line end: an empty message's dot stands right behind it.
    this.#unread = this.#unread.subarray(verb === 'DATA' ? end : end + 2);
    switch (verb) {
      case 'EHLO':
        this.#say(GREETING.join('\r\n'));
        break;
      case 'AUTH':
        this.#client =
          Buffer.from(line.split(' ')[2] ?? '', 'base64')
            .toString()
            .split('\0')[1] ?? '?';
        this.#say('235 2.7.0 Welcome');
        break;
      case 'RCPT':
        this.#onRecipient(/<(.*?)>/.exec(line)?.[1] ?? line);
        break;
      case 'DATA':
        this.#onData();
        break;
      case 'QUIT':
        this.#say('221 2.0.0 Bye');
        this.#socket.end();
        break;
      default:
        this.#say('250 2.0.0 Ok');
    }
    return true;
  }

  #onRecipient(recipient: string): void {
    this.#mood = this.#server.moodFor(recipient);
    this.#recipient = recipient;
    if (!this.#acts('rcpt')) this.#say('250 2.1.5 Ok');
    else this.#recipient = undefined;
  }

  #onData(): void {
    if (this.#recipient === undefined) {
      this.#unread = this.#unread.subarray(2);
      this.#say('554 5.5.1 Error: no valid recipients');
    } else if (!this.#acts('data')) {
      this.#inBody = true;
      this.#say('354 Go on');
    }
  }

  #readBody(): boolean {
    const end = this.#unread.indexOf(MESSAGE_END);
    if (end < 0) return false;
    const message = this.#unread.toString('latin1', 0, end);
    this.#unread = this.#unread.subarray(end + MESSAGE_END.length);
    this.#inBody = false;
    const silent = this.#mood?.step === 'final' && (this.#mood.answer === 'hang' || this.#mood.answer === 'cut');
    const refused = this.#mood?.step === 'final' && !silent;
    if (!refused) {
      const messageId = /^Message-ID: *(\S+)/im.exec(message)?.[1] ?? '';
      this.#server.accept({ client: this.#client, recipient: this.#recipient!, messageId, answered: !silent });
    }
    this.#recipient = undefined;
    if (!this.#acts('final')) this.#say('250 2.0.0 Ok: queued');
    return true;
  }

  /** Answers as the mood says; false when it has nothing to say here. */
  #acts(step: Step): boolean {
    if (this.#mood?.step !== step) return false;
    const { answer } = this.#mood;
    if (answer === 'cut') this.#socket.destroy();
    else if (answer !== 'hang') this.#say(answer);
    if (answer.startsWith('421')) this.#socket.end();
    this.#over = answer === 'hang' || answer === 'cut' || answer.startsWith('421');
    return true;
  }

  #say(reply: string): void {
    this.#socket.write(`${reply}\r\n`);
  }
}
