import { randomBytes } from 'node:crypto';
import { beforeAll, describe, expect, it, onTestFinished, vi } from 'vitest';
import { LANES } from '../../src/message/message.js';
import { compose } from '../../src/mime/compose.js';
import { rawOf } from '../../src/mime/encoded.js';
import { OptionReader } from '../../src/nest/options/reader.js';
import { parseSmtp } from '../../src/nest/options/smtp.js';
import { SmtpSession } from '../../src/transport/smtp/session.js';
import { SmtpTransport } from '../../src/transport/smtp/transport.js';
import { startMail } from '../support/app.js';
import { eventually } from '../support/eventually.js';
import { startExim, whyNoExim } from '../support/exim.js';
import { DOMAIN, LOGIN, type MailServer, NO_MAILBOX } from '../support/mail-server.js';
import { plainMessage } from '../support/message.js';
import { parse } from '../support/parse.js';
import { startPostfix, whyNoPostfix } from '../support/postfix.js';
import { startTcpProxy } from '../support/tcp-proxy.js';
import { failure, mail, send, subjectOf } from './smtp.js';

const servers = [
  ['Postfix', startPostfix, whyNoPostfix()],
  ['Exim', startExim, whyNoExim()],
] as const;

const MAX_BYTES = 500_000;

const withLf = (raw: Buffer) => Buffer.from(raw.toString('latin1').replaceAll('\r\n', '\n'), 'latin1');

/** How many messages were given to sessions, and of those how many while there was no answer to another. */
function countSessions(): { begun: () => number; inAdvance: () => number } {
  let [open, begun, inAdvance] = [0, 0, 0];
  // eslint-disable-next-line @typescript-eslint/unbound-method -- called on the session that it is called on
  const original = SmtpSession.prototype.send;
  const spy = vi.spyOn(SmtpSession.prototype, 'send').mockImplementation(async function (this: SmtpSession, ...args) {
    begun++;
    if (open++ > 0) inAdvance++;
    try {
      return await original.apply(this, args);
    } finally {
      open--;
    }
  });
  onTestFinished(() => spy.mockRestore());
  return { begun: () => begun, inAdvance: () => inAdvance };
}

describe.each(servers)('%s', (_, start, whyNot) => {
  if (whyNot) {
    it.skip(whyNot, () => undefined);
    return;
  }

  let server: MailServer;

  beforeAll(async () => {
    server = await start({ maxBytes: MAX_BYTES });
  });

  /** A transport as the module makes one of what its user configured. */
  function transportTo(options: { url?: string; tls?: object; maxConnections?: number } = {}): SmtpTransport {
    const config = { name: 'main', url: server.url, tls: { ca: server.ca }, ...options };
    const transport = new SmtpTransport(parseSmtp(new OptionReader(config, 'transports[0]')).smtp);
    onTestFinished(() => transport.close(1_000));
    return transport;
  }

  /** The messages with such a subject, once that many of them have been delivered. */
  async function delivered(subject: RegExp, count = 1): Promise<Buffer[]> {
    return eventually(async () => {
      const found = (await server.delivered()).filter((raw) => subject.test(subjectOf(raw)));
      expect(found.map(subjectOf)).toHaveLength(count);
      return found;
    });
  }

  it.each(LANES)('takes a message of the %s lane after STARTTLS and a login', async (lane) => {
    const { accepted, rejections, response } = await send(transportTo(), mail(`Lane ${lane}`), { lane });
    expect({ accepted, rejections }).toEqual({ accepted: [`ann@${DOMAIN}`], rejections: [] });
    expect(response).toMatch(/^250 /);
    const [raw] = await delivered(new RegExp(`^Lane ${lane}$`));
    // RFC 3848: with TLS and with a login.
    expect(raw?.toString()).toMatch(/^Received: [^:]* with esmtpsa /im);
  });

  it('is reached by a check that sends nothing', async () => {
    const before = await server.delivered();
    await transportTo().verify(AbortSignal.timeout(10_000));
    expect(await server.delivered()).toHaveLength(before.length);
  });

  describe('delivers byte for byte', () => {
    /** Sends it and returns what was delivered, without the header fields that servers put on top. */
    async function delivery(raw: Buffer): Promise<Buffer> {
      const end = raw.indexOf('\r\n\r\n') + 4;
      const bytes = { headers: raw.subarray(0, end), body: [raw.subarray(end)] };
      await send(transportTo(), { envelope: mail().envelope, ...bytes });
      const [stored] = await delivered(new RegExp(`^${subjectOf(raw)}$`));
      const first = raw.toString('latin1').split('\r\n', 1)[0]!;
      return stored!.subarray(stored!.indexOf(`\n${first}\n`) + 1);
    }

    it('what the composer wrote, which reads as it was meant', async () => {
      const content = randomBytes(50_000);
      const text = `.\n..\n.dot\n\nFrom here\n${'한글 '.repeat(500)}\n${'x'.repeat(5_000)}\n.`;
      const message = plainMessage({
        from: { name: '상점, "최고"', address: 'shop@shop.test' },
        subject: 'Composed',
        text,
        html: `<p>${'안녕하세요 '.repeat(1_000)}</p>`,
        headers: [['X-Note', `메모 ${'🎉 '.repeat(40)}`]],
        attachments: [
          { filename: '명세서 (최종).pdf', contentType: 'application/pdf', content, disposition: 'attachment' },
        ],
      });
      const raw = rawOf(await compose(message, { messageId: '<composed@shop.test>', date: new Date() }));
      const stored = await delivery(raw);
      expect(stored.equals(withLf(raw))).toBe(true);
      const parsed = await parse(stored);
      expect(parsed.text?.trimEnd()).toBe(text);
      expect(parsed).toMatchObject({
        from: message.from,
        to: [{ address: `ann@${DOMAIN}` }],
        subject: message.subject,
        html: message.html,
        headers: { 'x-note': expect.stringContaining('=?UTF-8?') as string },
        messageId: '<composed@shop.test>',
        attachments: [{ filename: '명세서 (최종).pdf', content }],
      });
    });

    it('dots, 8-bit text and lines of 998 characters that nothing encodes', async () => {
      const head =
        'From: shop@shop.test\nDate: Fri, 2 Jan 2026 03:04:05 +0000\nMessage-ID: <as-is@shop.test>\nSubject: As is';
      const body = `.\n..\n.dot\n\n${'ä'.repeat(499)}\n.${'y'.repeat(997)}\n\n.\n`;
      const raw = Buffer.from(`${head}\n\n${body}`.replaceAll('\n', '\r\n'));
      expect((await delivery(raw)).toString()).toBe(withLf(raw).toString());
    });
  });

  it('takes 50 messages over as many connections as may be open', async () => {
    const proxy = await startTcpProxy(server.port);
    const url = server.url.replace(`:${server.port}`, `:${proxy.port}`);
    const transport = transportTo({ url, maxConnections: 3 });
    const subjects = Array.from({ length: 50 }, (_, n) => `Many ${n}`);
    await Promise.all(subjects.map((subject) => send(transport, mail(subject))));
    expect(proxy.connections).toBeLessThanOrEqual(3);
    expect(new Set((await delivered(/^Many /, 50)).map(subjectOf))).toEqual(new Set(subjects));
  });

  it('takes 200 bulk messages over one connection, each begun while the one before is answered', async () => {
    const proxy = await startTcpProxy(server.port);
    const transport = transportTo({ url: server.url.replace(`:${server.port}`, `:${proxy.port}`), maxConnections: 1 });
    const messages = Array.from({ length: 200 }, (_, n) => {
      const one = mail(`Advance ${n}`);
      return { ...one, body: [Buffer.from(`.\r\n..${n}\r\n${'.x'.repeat(n)}\r\n\r\n`)] };
    });
    const { begun, inAdvance } = countSessions();
    await Promise.all(messages.map((message) => send(transport, message, { lane: 'bulk' })));
    expect(proxy.connections).toBe(1);
    // None had to be sent again.
    expect({ begun: begun(), inAdvance: inAdvance() }).toEqual({ begun: 200, inAdvance: 199 });
    const stored = await delivered(/^Advance /, 200);
    const found = new Map(stored.map((raw) => [subjectOf(raw), raw.subarray(raw.indexOf('\n\n') + 2).toString()]));
    expect(found).toEqual(
      new Map(messages.map((message) => [subjectOf(message.headers), withLf(Buffer.concat(message.body)).toString()])),
    );
  });

  it('refuses a wrong password', async () => {
    const transport = transportTo({ url: server.url.replace(LOGIN.pass, 'wr0ng') });
    const error = await failure(send(transport));
    expect(error).toMatchObject({ phase: 'auth', outcome: 'not-sent', scope: 'transport', replyCode: 535 });
    expect(JSON.stringify(error) + error.message).not.toContain('wr0ng');
  });

  it('refuses a client without a login', async () => {
    const transport = transportTo({ url: `smtp://127.0.0.1:${server.port}` });
    expect(await failure(send(transport))).toMatchObject({ phase: 'rcpt', outcome: 'not-sent' });
  });

  it('is not trusted with a login when nobody vouches for its certificate', async () => {
    const error = await failure(send(transportTo({ tls: {} })));
    expect(error).toMatchObject({ phase: 'tls', outcome: 'not-sent', scope: 'transport', permanent: false });
  });

  it('takes a message for one of two recipients and refuses the other', async () => {
    const [ann, gone] = [`ann@${DOMAIN}`, `${NO_MAILBOX}@${DOMAIN}`];
    const transport = transportTo({ maxConnections: 1 });
    expect(await send(transport, mail('Half', [ann, gone]))).toMatchObject({
      accepted: [ann],
      rejections: [{ address: gone, replyCode: 550, permanent: true }],
    });
    await delivered(/^Half$/);

    const error = await failure(send(transport, mail('None', [gone])));
    expect(error).toMatchObject({ phase: 'rcpt', outcome: 'not-sent', scope: 'recipient', permanent: true });
    await send(transport, mail('After none'));
    await delivered(/^After none$/);
  });

  it('refuses a message over its limit for good, and takes the next', async () => {
    const transport = transportTo({ maxConnections: 1 });
    const small = mail('Large');
    const large = { ...small, body: [Buffer.alloc(MAX_BYTES, 'large\r\n')] };
    expect(await failure(send(transport, large))).toMatchObject({
      outcome: 'not-sent',
      scope: 'message',
      permanent: true,
    });
    await send(transport, mail('After large'));
    await delivered(/^After large$/);
    expect((await server.delivered()).map(subjectOf)).not.toContain('Large');
  });

  it('is reached again after a restart between two messages', async () => {
    const transport = transportTo();
    await send(transport, mail('Before restart'));
    await delivered(/^Before restart$/);
    await server.stop();
    await server.start();
    await send(transport, mail('After restart'));
    await delivered(/^After restart$/);
  });

  it('answers send() of the module', async () => {
    const { mail: service } = await startMail({
      transports: [{ name: 'main', url: server.url, tls: { ca: server.ca } }],
      queue: false,
    });
    const receipt = await service.send({ to: `Ann <ann@${DOMAIN}>`, subject: 'From the module', text: '안녕하세요' });
    expect(receipt).toMatchObject({
      status: 'sent',
      accepted: [`ann@${DOMAIN}`],
      response: expect.stringMatching(/^250 /) as string,
    });
    const [raw] = await delivered(/^From the module$/);
    expect(await parse(raw!)).toMatchObject({ to: [{ name: 'Ann' }], text: '안녕하세요' });
  });
});
