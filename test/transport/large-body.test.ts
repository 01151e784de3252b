import { createServer, type Socket } from 'node:net';
import { describe, expect, it } from 'vitest';
import { base64Lines } from '../../src/mime/base64.js';
import { rawOf } from '../../src/mime/encoded.js';
import type { Outgoing } from '../../src/transport/transport.js';
import { atEnd } from '../support/cleanup.js';
import { eventually } from '../support/eventually.js';
import { Listener } from '../support/listener.js';
import { startScriptedSmtp } from '../support/scripted-smtp.js';
import { startSmtpServer } from '../support/smtp-server.js';
import { failure, mail, send, smtpTransport, subjectOf } from './smtp.js';

const attached = base64Lines(Buffer.from(Array.from({ length: 1_500_000 }, (_, n) => (n * n) % 251)));

/** A message with pieces of its own around one that is shared. */
function large(subject: string): Outgoing {
  const own = Buffer.from(`.\r\n..${subject}\r\n${'.x'.repeat(400)}\r\n`);
  return { ...mail(subject), body: [own, attached, Buffer.from('.\r\n--end--\r\n')] };
}

/** Reads nothing of a body. @param onBody told when one has begun */
async function startDeafSmtp(onBody: (socket: Socket) => void): Promise<string> {
  const server = createServer((socket) => {
    socket.on('error', () => undefined).write('220 deaf.test\r\n');
    socket.on('data', (command: Buffer) => {
      const data = command.includes('DATA');
      socket.write(data ? '354 Go on\r\n' : '250 OK\r\n');
      if (!data) return;
      socket.pause();
      void eventually(() => socket.readableLength > 0).then(() => onBody(socket));
    });
  });
  const listener = await Listener.open(server);
  atEnd(() => listener.pause());
  return `smtp://127.0.0.1:${listener.port}`;
}

describe('a large message', () => {
  it.each([undefined, 'starttls', 'implicit'] as const)(
    'arrives as it is, one behind the other (TLS: %s)',
    async (tls) => {
      const smtp = await startSmtpServer(tls ? { tls } : {});
      const trust = smtp.certificate ? { tls: { ca: smtp.certificate.cert } } : {};
      const transport = smtpTransport(smtp.url, { maxConnections: 1, ...trust });
      const messages = ['one', 'two', 'three'].map(large);
      await Promise.all(messages.map((message) => send(transport, message, { lane: 'bulk' })));
      expect(smtp.connections).toBe(1);
      expect(smtp.received.map(({ raw }) => subjectOf(raw.subarray(0, 200)))).toEqual(['one', 'two', 'three']);
      for (const [index, { raw }] of smtp.received.entries()) expect(raw.equals(rawOf(messages[index]!))).toBe(true);
    },
  );

  it('that is refused before it has ended costs its connection, and no other message', async () => {
    const smtp = await startScriptedSmtp({
      data: (_, connection) => (connection === 1 ? '354-\n354 Go on\n552 5.3.4 Too large' : undefined),
    });
    const transport = smtpTransport(smtp.url, { maxConnections: 1 });
    expect(await failure(send(transport, large('one')))).toMatchObject({ replyCode: 552, permanent: true });
    await send(transport, mail('two'));
    expect(smtp.connections).toBe(2);
    expect(smtp.messages.map(subjectOf)).toEqual(['two']);
  });

  it.each(['the connection breaks', 'its sender gives up'])(
    'has surely not been taken when %s before its end',
    async (how) => {
      const giveUp = new AbortController();
      const end = (socket: Socket): unknown => (how === 'its sender gives up' ? giveUp.abort() : socket.destroy());
      const smtp = await startDeafSmtp(end);
      const message = { ...large('one'), body: Array<Buffer>(20).fill(attached) };
      const error = await failure(send(smtpTransport(smtp), message, { signal: giveUp.signal }));
      expect(error).toMatchObject({ phase: 'body', outcome: 'not-sent', kind: 'recipient-deferred', scope: 'message' });
    },
  );

  it('is not taken by a server that says so before it has ended', async () => {
    const smtp = await startScriptedSmtp({ data: () => '354-\n354 Go on\n250 2.0.0 Taken' });
    const error = await failure(send(smtpTransport(smtp.url), large('one')));
    expect(error).toMatchObject({ outcome: 'unknown', permanent: false });
    expect(error.reply).toContain('before the message had ended');
  });

  it('has no end when it is not this worker’s any more', async () => {
    const smtp = await startScriptedSmtp();
    let asked = 0;
    const mayHandOver = (): boolean => asked++ === 0;
    const { signal } = new AbortController();
    const error = await failure(smtpTransport(smtp.url).send(large('one'), { lane: 'bulk', signal, mayHandOver }));
    expect(error).toMatchObject({ phase: 'queue', outcome: 'not-sent' });
    await eventually(() => expect(smtp.open).toBe(0));
    expect(smtp.messages).toEqual([]);
  });
});
