/** A server that takes large mails and keeps nothing of them: it counts them and their octets, and hashes the files of some. */
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { type AddressInfo, type Socket, createServer } from 'node:net';
import { serve } from '../lib/serve.js';

/** What has come so far. */
export interface Taken {
  mails: number;
  octets: number;
  /** Recipients that have got more than one. */
  twice: number;
  /** Of those whose file was looked at, how many had the one that was sent. */
  right: number;
  wrong: number;
}

const END = Buffer.from('\r\n.\r\n');
/** What can follow the end of a message in the same packet: the next one's envelope. */
const BEHIND = 2_048;
/** Every so many mails one is kept whole, and its file is hashed. */
const SAMPLE = 100;

const taken: Taken = { mails: 0, octets: 0, twice: 0, right: 0, wrong: 0 };
const recipients = new Set<string>();
let expected = '';
let begun = 0;

serve({
  /** @returns the port */
  async listen(hash: string): Promise<number> {
    expected = hash;
    const server = createServer({ noDelay: true, highWaterMark: 512 * 1_024 }, (socket) => new Session(socket));
    await once(server.listen(0, '127.0.0.1'), 'listening');
    return (server.address() as AddressInfo).port;
  },

  taken: (): Taken => taken,
});

class Session {
  #commands = '';
  #inData = false;
  /** The last octets of the message so far, in which its end may begin. */
  #tail: Buffer = Buffer.alloc(0);
  #sample: Buffer[] | undefined;

  constructor(private readonly socket: Socket) {
    socket.on('data', (chunk) => (this.#inData ? this.#data(chunk) : this.#command(chunk)));
    socket.on('error', () => socket.destroy());
    socket.write('220 sink.test ESMTP\r\n');
  }

  #command(chunk: Buffer): void {
    this.#commands += chunk.toString('latin1');
    for (let end = this.#commands.indexOf('\r\n'); end >= 0; end = this.#commands.indexOf('\r\n')) {
      const line = this.#commands.slice(0, end);
      this.#commands = this.#commands.slice(end + 2);
      const verb = line.slice(0, 4).toUpperCase();
      if (verb === 'EHLO') this.socket.write('250-sink.test\r\n250-PIPELINING\r\n250 8BITMIME\r\n');
      else if (verb === 'QUIT') this.socket.end('221 bye\r\n');
      else if (verb === 'DATA') this.#begin();
      else {
        if (verb === 'RCPT') this.#recipient(line);
        this.socket.write('250 ok\r\n');
      }
    }
  }

  #recipient(line: string): void {
    const { size } = recipients;
    if (recipients.add(line).size === size) taken.twice++;
  }

  #begin(): void {
    this.#inData = true;
    this.#tail = Buffer.alloc(0);
    this.#sample = begun++ % SAMPLE === 0 ? [] : undefined;
    this.socket.write('354 go on\r\n');
  }

  #data(chunk: Buffer): void {
    const from = Math.max(0, chunk.length - BEHIND);
    const end = Buffer.concat([this.#tail, chunk.subarray(from)]);
    const at = end.indexOf(END);
    if (at < 0) {
      taken.octets += chunk.length;
      this.#sample?.push(chunk);
      this.#tail = end.subarray(-END.length + 1);
      return;
    }
    const length = from + at + END.length - this.#tail.length;
    taken.octets += length;
    taken.mails++;
    this.#sample?.push(chunk.subarray(0, length));
    if (this.#sample) this.#look(Buffer.concat(this.#sample));
    this.#inData = false;
    this.socket.write('250 taken\r\n');
    if (length < chunk.length) this.#command(chunk.subarray(length));
  }

  /** The file is the last part. */
  #look(message: Buffer): void {
    const parts = message.toString('latin1').split('\r\n\r\n');
    const file = Buffer.from((parts.at(-1) ?? '').split('\r\n--')[0] ?? '', 'base64');
    if (createHash('sha256').update(file).digest('hex') === expected) taken.right++;
    else taken.wrong++;
  }
}
