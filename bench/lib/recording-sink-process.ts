import { once } from 'node:events';
import { type AddressInfo, createServer } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import type { RecordedMail, RecordingSinkOptions } from './recording-sink.js';
import { serve } from './serve.js';
import { type Arrival, SmtpSession } from './smtp-session.js';

const counts = new Map<number, number>();
const mails: RecordedMail[] = [];
const waiting: { total: number; resolve: () => void }[] = [];
let total = 0;

serve({
  /** @returns the port; each has a count of its own */
  async listen({ delay = 0, record = false }: RecordingSinkOptions): Promise<number> {
    const server = createServer({ noDelay: true }, (socket) => {
      const session = new SmtpSession({
        reply: (text) => socket.write(text),
        arrived(arrival) {
          if (delay > 0) return sleep(delay).then(() => took(arrival));
          took(arrival);
        },
        quit: () => socket.end(),
      });
      socket.on('data', (chunk) => session.take(chunk));
      socket.on('error', () => socket.destroy());
    });
    await once(server.listen(0, '127.0.0.1'), 'listening');
    const { port } = server.address() as AddressInfo;
    counts.set(port, 0);

    function took(arrival: Arrival): void {
      counts.set(port, (counts.get(port) ?? 0) + 1);
      if (record) mails.push(describe(arrival));
      total++;
      for (const waiter of waiting.splice(0)) {
        if (waiter.total <= total) waiter.resolve();
        else waiting.push(waiter);
      }
    }
    return port;
  },
  /** Resolves when so many have arrived on all ports together. */
  async reached(wanted: number): Promise<void> {
    if (wanted > total) await new Promise<void>((resolve) => waiting.push({ total: wanted, resolve }));
  },
  counts: (): Record<number, number> => Object.fromEntries(counts),
  mails: (): RecordedMail[] => mails,
});

function describe({ recipients, message }: Arrival): RecordedMail {
  const headers = message.toString('latin1', 0, message.indexOf('\r\n\r\n'));
  const field = (name: string) => new RegExp(`^${name}: (.*)`, 'im').exec(headers)?.[1] ?? '';
  return { recipients, to: field('to'), subject: field('subject'), bytes: message.length };
}
