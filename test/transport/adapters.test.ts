import { Mailer, PostmarkTransport, ResendTransport, type MailMessage } from '@nestjs/mail';
import { createTransport } from 'nodemailer';
import SMTPPool from 'nodemailer/lib/smtp-pool';
import { finished, Writable, type Readable } from 'node:stream';
import { inspect } from 'node:util';
import { describe, expect, it, onTestFinished, vi } from 'vitest';
import { LANES, type Message } from '../../src/message/message.js';
import { compose, envelopeAddress } from '../../src/mime/compose.js';
import { envelopeRecipients } from '../../src/message/message.js';
import { foreignFailure } from '../../src/transport/adapters/failure.js';
import { ForeignTransport } from '../../src/transport/adapters/foreign.js';
import { NestMailCarrier, type NestMailTransport } from '../../src/transport/adapters/nest-mail.js';
import { nestMailMessage, type NestMailMessage } from '../../src/transport/adapters/nest-mail-message.js';
import { NodemailerCarrier } from '../../src/transport/adapters/nodemailer.js';
import type { Carrier } from '../../src/transport/adapters/carrier.js';
import type { Outgoing, SendOptions } from '../../src/transport/transport.js';
import { eventually } from '../support/eventually.js';
import { freePort } from '../support/free-port.js';
import { plainMessage } from '../support/message.js';
import { startProvider } from '../support/provider-stubs.js';
import { startScriptedSmtp } from '../support/scripted-smtp.js';
import { failure } from './smtp.js';

const ANN = { name: 'Ann', address: 'ann@mail.test' };
const BOB = { name: '', address: 'bob@mail.test' };
const CAT = { name: '', address: 'cat@mail.test' };

async function outgoing(extra: Partial<Message> = {}, to?: string[]): Promise<Outgoing> {
  const message = plainMessage({ text: 'Hello', ...extra });
  const messageId = '<p_1@shop.test>';
  return {
    ...(await compose(message, { messageId, date: new Date('2026-05-01T10:00:00Z') })),
    envelope: { from: 'shop@shop.test', to: to ?? envelopeRecipients(message).map(envelopeAddress) },
    mail: { id: 'p_1', messageId, campaignId: 'spring', message: () => message },
  };
}

function transportOf(carrier: Carrier, maxConnections = 5, timeout = 60_000): ForeignTransport {
  const transport = new ForeignTransport({ name: 'main', lanes: LANES, maxConnections, timeout, owned: true }, carrier);
  onTestFinished(() => transport.close(0));
  return transport;
}

const options = (extra: Partial<SendOptions> = {}): SendOptions => ({
  lane: 'priority',
  signal: new AbortController().signal,
  ...extra,
});

/** Keeps what it is given. */
class Keeper implements NestMailTransport {
  readonly given: { message: NestMailMessage; idempotencyKey?: string }[] = [];

  constructor(
    private readonly result: Awaited<ReturnType<NestMailTransport['send']>> = {},
    readonly provider?: string,
  ) {}

  send(message: NestMailMessage, { idempotencyKey }: { idempotencyKey?: string }) {
    this.given.push({ message, ...(idempotencyKey === undefined ? {} : { idempotencyKey }) });
    return Promise.resolve(this.result);
  }
}

async function given(extra: Partial<Message>, to?: string[]): Promise<NestMailMessage> {
  const mail = await outgoing(extra, to);
  return nestMailMessage(mail, mail.mail!);
}

describe('the message for a transport of @nestjs/mail', () => {
  it('has every public member of the original', async () => {
    const mailer = new Mailer({ transport: new Keeper() }, {} as never, {} as never, {} as never);
    const attachments = [{ filename: 'a.txt', content: 'a' }];
    const original: MailMessage = await mailer.render({
      from: 'shop@shop.test',
      replyTo: 'help@shop.test',
      to: 'Ann <ann@mail.test>',
      subject: 'Hello',
      html: '<p>Hello</p>',
      text: 'Hello',
      headers: { 'X-Order': '1' },
      attachments,
    });
    const own = Object.getOwnPropertyNames(Object.getPrototypeOf(original)).filter((name) => name !== 'constructor');
    const lookAlike = await given({
      to: [ANN],
      replyTo: [{ name: '', address: 'help@shop.test' }],
      html: '<p>Hello</p>',
      headers: [['X-Order', '1']],
      attachments: [{ filename: 'a.txt', disposition: 'attachment', content: Buffer.from('a') }],
    });
    expect(Object.keys(lookAlike).sort()).toEqual([...Object.keys(original), ...own].sort());
    const { messageId, date, toMime, envelope, internationalized, ...said } = lookAlike;
    expect(original).toMatchObject(said);
    expect({ envelope, internationalized }).toEqual({
      envelope: original.envelope,
      internationalized: original.internationalized,
    });
    expect({ messageId, date }).toEqual({ messageId: '<p_1@shop.test>', date: new Date('2026-05-01T10:00:00Z') });
    expect(toMime().toString()).toContain('Message-ID: <p_1@shop.test>');
    expect(Object.isFrozen(lookAlike) && Object.isFrozen(lookAlike.to) && Object.isFrozen(lookAlike.headers)).toBe(
      true,
    );
  });

  const named = ({ to, cc, bcc }: NestMailMessage) =>
    [to, cc, bcc].map((list) => list.map(({ address }) => address[0]).join(''));

  it.each<[string, Partial<Message>, string[] | undefined, string[]]>([
    ['all', { to: [ANN], cc: [BOB], bcc: [CAT] }, undefined, ['a', 'b', 'c']],
    ['those who are due', { to: [ANN, BOB], bcc: [CAT] }, [BOB.address, CAT.address], ['b', '', 'c']],
    [
      'those in Cc as To, when nobody else is',
      { to: [ANN], cc: [BOB], bcc: [CAT] },
      [BOB.address, CAT.address],
      ['b', '', 'c'],
    ],
    ['one in Bcc as To, when alone', { to: [ANN], bcc: [CAT] }, [CAT.address], ['c', '', '']],
    ['several in Bcc to nobody', { to: [], bcc: [BOB, CAT] }, undefined, ['', '', 'bc']],
    ['whom no header names to nobody', { to: [ANN] }, [ANN.address, CAT.address], ['a', '', 'c']],
    ['one who is named twice once', { to: [ANN], cc: [ANN] }, undefined, ['a', '', '']],
  ])('names %s', async (_, extra, to, expected) => {
    expect(named(await given(extra, to))).toEqual(expected);
  });

  it('joins headers of one name, and finds the type of an attachment', async () => {
    const { headers, attachments } = await given({
      headers: [
        ['X-Tag', 'a'],
        ['x-tag', 'b'],
      ],
      attachments: [{ filename: 'a.pdf', disposition: 'attachment', content: Buffer.from('a') }],
    });
    expect(headers).toEqual({ 'X-Tag': 'a, b' });
    expect(attachments[0]).toMatchObject({ contentType: 'application/pdf' });
  });
});

describe('a transport of @nestjs/mail', () => {
  it('has the same key for every try of a mail, and another for other recipients', async () => {
    const keeper = new Keeper();
    const transport = transportOf(new NestMailCarrier(keeper));
    const message = { to: [ANN, BOB] };
    for (const to of [undefined, undefined, [BOB.address]])
      await transport.send(await outgoing(message, to), options());
    const [first, second, third] = keeper.given.map(({ idempotencyKey }) => idempotencyKey);
    expect(first).toMatch(/^p_1\/[\w-]{22}$/);
    expect(second).toBe(first);
    expect(third).not.toBe(first);
  });

  it('is taken once by a provider that knows keys, though the answer was lost', async () => {
    const provider = await startProvider('resend');
    const transport = transportOf(
      new NestMailCarrier(new ResendTransport({ apiKey: 'provider-key', baseUrl: provider.url })),
    );
    provider.behave({ does: 'say-nothing' });
    const over = new AbortController();
    const sending = failure(transport.send(await outgoing(), options({ signal: over.signal })));
    await eventually(() => provider.mails.length);
    over.abort();
    expect(await sending).toMatchObject({ kind: 'unknown' });
    provider.behave({ does: 'accept' });
    expect(await transport.send(await outgoing(), options())).toMatchObject({
      providerId: '00000000-0000-4000-8000-000000000001',
      response: 'Accepted as 00000000-0000-4000-8000-000000000001',
    });
    expect(provider.mails).toHaveLength(1);
  });

  it('sends to each of several in Bcc alone, where a message must have a To', async () => {
    const provider = await startProvider('resend');
    const resend = new ResendTransport({ apiKey: 'provider-key', baseUrl: provider.url });
    const transport = transportOf(new NestMailCarrier(resend));
    provider.behave({ does: 'refuse-recipients', addresses: [BOB.address] });
    expect(await transport.send(await outgoing({ to: [], bcc: [ANN, BOB, CAT] }), options())).toMatchObject({
      accepted: [ANN.address, CAT.address],
      rejections: [{ address: BOB.address, kind: 'recipient-refused' }],
    });
    expect(provider.mails.map(({ recipients }) => recipients)).toEqual([[ANN.address], [CAT.address]]);
    provider.behave({ does: 'be-busy' });
    const sending = transport.send(await outgoing({ to: [], bcc: [ANN, BOB] }), options());
    expect(await failure(sending)).toMatchObject({ kind: 'busy', transport: 'main' });
  });

  it('tells Postmark of the mail, and others nothing', async () => {
    const provider = await startProvider('postmark');
    const postmark = new PostmarkTransport({ serverToken: 'provider-key', baseUrl: provider.url });
    await transportOf(new NestMailCarrier(postmark)).send(await outgoing(), options());
    expect(provider.requests[0]!.body.Headers).toEqual([
      { Name: 'X-PM-KeepID', Value: 'true' },
      { Name: 'Message-ID', Value: '<p_1@shop.test>' },
      { Name: 'X-PM-Metadata-mail-id', Value: 'p_1' },
      { Name: 'X-PM-Metadata-campaign-id', Value: 'spring' },
    ]);
    const keeper = new Keeper();
    await transportOf(new NestMailCarrier(keeper)).send(await outgoing(), options());
    expect(keeper.given[0]!.message.headers).toEqual({});
  });

  it('tells whom the provider has passed over', async () => {
    const transport = transportOf(new NestMailCarrier(new Keeper({ accepted: ['ANN@mail.test'], response: '250 Ok' })));
    expect(await transport.send(await outgoing({ to: [ANN, BOB] }), options())).toMatchObject({
      accepted: [ANN.address],
      rejections: [{ address: BOB.address, permanent: false }],
      response: '250 Ok',
    });
  });

  it('waits for as long as the provider asks', async () => {
    const provider = await startProvider('resend');
    provider.behave({ does: 'be-busy' });
    const resend = new ResendTransport({ apiKey: 'provider-key', baseUrl: provider.url });
    const { retryAt } = await failure(transportOf(new NestMailCarrier(resend)).send(await outgoing(), options()));
    expect(retryAt! - Date.now()).toBeGreaterThan(0);
  });

  it('asks whether anything is there, and believes a refused key for a while', async () => {
    const provider = await startProvider('resend');
    const resend = new ResendTransport({ apiKey: 'another', baseUrl: provider.url });
    const transport = transportOf(new NestMailCarrier(resend));
    expect(transport.server).toEqual({ host: '127.0.0.1', port: Number(new URL(provider.url).port) });
    await transport.verify(options().signal);
    await failure(transport.send(await outgoing(), options()));
    expect(await failure(transport.verify(options().signal))).toMatchObject({ phase: 'auth', kind: 'down' });
    const away = transportOf(
      new NestMailCarrier(new ResendTransport({ apiKey: 'k', baseUrl: `http://127.0.0.1:${await freePort()}` })),
    );
    expect(await failure(away.verify(options().signal))).toMatchObject({ phase: 'connect', kind: 'down' });
  });

  it('sends no more at once than it may', async () => {
    const most: number[] = [];
    let now = 0;
    const busy: NestMailTransport = {
      async send() {
        most.push(++now);
        await new Promise((resolve) => setImmediate(resolve));
        now--;
        return {};
      },
    };
    const transport = transportOf(new NestMailCarrier(busy), 2);
    const mail = await outgoing();
    await Promise.all(Array.from({ length: 9 }, () => transport.send(mail, options())));
    expect(Math.max(...most)).toBe(2);
    expect(most).toHaveLength(9);
  });

  it('gives up what never comes to an end, and its place with it', async () => {
    const deaf: NestMailTransport = { send: () => new Promise(() => undefined) };
    const transport = transportOf(new NestMailCarrier(deaf), 1, 20);
    const sendings = [outgoing(), outgoing()].map(async (mail) => failure(transport.send(await mail, options())));
    for (const error of await Promise.all(sendings)) {
      expect(error).toMatchObject({ phase: 'body', kind: 'unknown', reply: 'No answer within 20 ms' });
    }
    await transport.close(60_000);
  });

  it('gives up waiting for its turn when nobody waits any more', async () => {
    const transport = transportOf(new NestMailCarrier({ send: () => new Promise(() => undefined) }), 1);
    const over = new AbortController();
    const sending = failure(transport.send(await outgoing(), options({ signal: over.signal })));
    const waiting = failure(transport.send(await outgoing(), options({ signal: over.signal })));
    const late = failure(transport.send(await outgoing(), options({ handoverWithin: 1 })));
    expect(await late).toMatchObject({ phase: 'queue', outcome: 'not-sent' });
    over.abort(new Error('Over'));
    expect(await sending).toMatchObject({ kind: 'unknown', reply: 'Over' });
    expect(await waiting).toMatchObject({ phase: 'queue', outcome: 'not-sent' });
  });
});

describe('a transport of nodemailer', () => {
  it('sends no mail again by itself that the server may have', async () => {
    const server = await startScriptedSmtp({ message: (_, connection) => (connection === 1 ? 'drop' : undefined) });
    const transport = transportOf(new NodemailerCarrier(createTransport({ url: server.url, pool: true })));
    const error = await failure(transport.send(await outgoing(), options()));
    expect(error).toMatchObject({ kind: 'unknown', outcome: 'unknown' });
    expect(server.messages).toHaveLength(1);
    await transport.send(await outgoing(), options());
    expect(server.messages).toHaveLength(2);
  });

  it('is given up before the body when that is late', async () => {
    const server = await startScriptedSmtp({ data: () => 'hang' });
    const transport = transportOf(new NodemailerCarrier(new SMTPPool({ url: server.url })));
    const error = await failure(transport.send(await outgoing(), options({ handoverWithin: 50 })));
    expect(error).toMatchObject({ outcome: 'not-sent', kind: 'down', reply: 'Not handed over within 50 ms' });
  });

  it('hands nothing over a second time, whatever its own pool makes of a lost connection', async () => {
    const written: string[] = [];
    const plugin = {
      name: 'SMTP of old',
      version: '6',
      async send({ message }: { message: { createReadStream(): Readable } }, done: (error: Error) => void) {
        const hand = (): Promise<unknown> =>
          new Promise((resolve) => {
            const body = message.createReadStream();
            finished(body, resolve);
            body.pipe(new Writable({ write: (chunk, _, next) => next(void written.push(String(chunk))) }));
          });
        await hand();
        const once = written.length;
        await hand();
        done(new Error(`Lost, with ${written.length - once} written again`));
      },
    };
    const error = await failure(transportOf(new NodemailerCarrier(plugin)).send(await outgoing(), options()));
    expect(error).toMatchObject({ kind: 'unknown', reply: 'Lost, with 0 written again' });
    expect(written.join('')).toContain('Hello');
  });

  it('hands nothing over after that, though it does not listen', async () => {
    let ended: (() => void) | undefined;
    const over = new Promise<void>((resolve) => (ended = resolve));
    let written = '';
    const plugin = {
      name: 'SMTP of old',
      version: '6',
      async send({ message }: { message: { createReadStream(): Readable } }, done: (error: Error) => void) {
        await over;
        const body = message.createReadStream();
        const sink = new Writable({ write: (chunk, _, next) => next(void (written += String(chunk))) });
        finished(body, (error) => done(error ?? new Error('It was read')));
        body.pipe(sink);
      },
    };
    const transport = transportOf(new NodemailerCarrier(plugin));
    await failure(transport.send(await outgoing(), options({ handoverWithin: 1 })));
    ended?.();
    await transport.close(60_000);
    expect(written).toBe('');
  });

  it.each<[string, object, Partial<{ phase: string; kind: string }>]>([
    ['the login', { auth: () => '535 5.7.8 No' }, { phase: 'auth', kind: 'down' }],
    ['the sender', { mail: () => '550 5.7.1 Not you' }, { phase: 'mail', kind: 'message-refused' }],
    ['DATA', { data: () => '451 4.3.0 Not now' }, { phase: 'data', kind: 'busy' }],
    ['the message', { message: () => '554 5.7.1 Spam' }, { phase: 'final', kind: 'message-refused' }],
    ['the greeting', { connect: () => '554 5.7.0 Go away' }, { phase: 'greeting', kind: 'down' }],
  ])('tells where %s was refused', async (_, script, expected) => {
    const server = await startScriptedSmtp({ capabilities: ['AUTH PLAIN', 'PIPELINING'], ...script });
    const mail = createTransport({ url: server.url, auth: { user: 'me', pass: 's3cret' } });
    const error = await failure(transportOf(new NodemailerCarrier(mail)).send(await outgoing(), options()));
    expect(error).toMatchObject({ outcome: 'not-sent', ...expected });
  });

  it('leaves the mail of others alone that goes over the same object', async () => {
    const server = await startScriptedSmtp();
    const mail = createTransport({ url: server.url });
    transportOf(new NodemailerCarrier(mail));
    await mail.sendMail({ from: 'a@shop.test', to: ANN.address, text: 'Their own' });
    expect(server.taken[0]).toContain('Their own');
  });

  it.each([
    ['a plugin', (pool: SMTPPool) => pool],
    ['what createTransport() returns', (pool: SMTPPool) => createTransport(pool)],
  ])('is taken hold of once, however often %s is given', async (_, wrapped) => {
    const server = await startScriptedSmtp();
    const pool = new SMTPPool({ url: server.url });
    const given = wrapped(pool);
    const first = transportOf(new NodemailerCarrier(given));
    const use = given instanceof SMTPPool ? undefined : vi.spyOn(given, 'use');
    const listeners = pool.listenerCount('idle');
    const second = transportOf(new NodemailerCarrier(given));
    expect(pool.listenerCount('idle')).toBe(listeners);
    expect(use?.mock.calls ?? []).toEqual([]);
    for (const transport of [first, second]) await transport.send(await outgoing(), options());
    expect(server.taken).toHaveLength(2);
  });

  it('takes over the id that the provider gives', async () => {
    const plugin = {
      name: 'Other',
      version: '1',
      send: (_: object, done: (error: null, info: never) => void) =>
        done(null, { messageId: '<1@provider.test>', rejected: [BOB.address], response: '' } as never),
    };
    const transport = transportOf(new NodemailerCarrier(plugin));
    expect(await transport.send(await outgoing({ to: [ANN, BOB] }), options())).toEqual({
      accepted: [ANN.address],
      rejections: [{ address: BOB.address, reply: expect.any(String) as string, permanent: false }],
      response: 'Accepted',
      providerId: '<1@provider.test>',
    });
  });
});

describe('what a foreign transport throws', () => {
  const http = (status: number, extra: object = {}): Error => Object.assign(new Error('No'), { status, ...extra });
  const socket = (code: string, syscall: string): Error => Object.assign(new Error(code), { code, syscall });
  const fetchFailed = (cause: Error): Error =>
    Object.assign(new Error('resend request failed', { cause: new TypeError('fetch failed', { cause }) }), {
      name: 'MailConnectionError',
    });

  it.each<[string, unknown, object]>([
    ['an HTTP status', http(401), { phase: 'auth', kind: 'down', answered: true }],
    ['one of a response', { message: 'No', response: { status: 422 } }, { kind: 'message-refused' }],
    ['one as a code', Object.assign(new Error('No'), { code: 429 }), { kind: 'busy' }],
    [
      'a name of the AWS SDK',
      http(400, { name: 'ThrottlingException', $metadata: { httpStatusCode: 400 } }),
      { kind: 'busy' },
    ],
    ['no connection', fetchFailed(socket('ECONNREFUSED', 'connect')), { phase: 'connect', outcome: 'not-sent' }],
    [
      'no connection to any address',
      fetchFailed(new AggregateError([socket('ECONNREFUSED', 'connect'), socket('EHOSTUNREACH', 'connect')])),
      { phase: 'connect' },
    ],
    ['no such name', fetchFailed(socket('ENOTFOUND', 'getaddrinfo')), { phase: 'connect' }],
    ['a certificate', fetchFailed(socket('CERT_HAS_EXPIRED', '')), { phase: 'connect' }],
    ['a handshake', fetchFailed(socket('ERR_SSL_SSLV3_ALERT_HANDSHAKE_FAILURE', '')), { phase: 'connect' }],
    ['a broken record', fetchFailed(socket('ERR_SSL_SSLV3_ALERT_BAD_RECORD_MAC', '')), { kind: 'unknown' }],
    ['a broken connection', fetchFailed(socket('ECONNRESET', 'read')), { phase: 'body', kind: 'unknown' }],
    ['a time-out of the request', { name: 'MailTimeoutError', phase: 'request' }, { kind: 'unknown' }],
    [
      'a time-out before the message',
      Object.assign(new Error('Late'), { name: 'MailTimeoutError', phase: 'greeting' }),
      { phase: 'connect', kind: 'down' },
    ],
    [
      'a fault of the message',
      { name: 'MailMessageError', status: 400, message: 'to: is required' },
      { kind: 'message-refused' },
    ],
    ['nothing', undefined, { kind: 'unknown' }],
    ['a text', 'no', { kind: 'unknown', reply: 'no' }],
  ])('is told by %s', (_, error, expected) => {
    expect(foreignFailure('main', error, { recipients: 1, point: 'body' })).toMatchObject(expected);
  });

  it('has nothing of a signature that does not fit', () => {
    const words = "It does not match.\n\nThe Canonical String was\n'POST\nx-amz-security-token:t0ken";
    const error = foreignFailure('main', http(403, { message: words, providerCode: 'SignatureDoesNotMatch' }), {
      recipients: 1,
      point: 'body',
    });
    expect(error).toMatchObject({ kind: 'down', reply: 'SignatureDoesNotMatch: It does not match.' });
    expect(inspect(error)).not.toContain('t0ken');
  });

  it('is told by the first words of many', () => {
    const page = `<html>${'a'.repeat(100_000)}@\n`;
    const error = foreignFailure('main', http(502, { message: page }), { recipients: 1, point: 'body' });
    expect(error.message).toMatch(/^main at final: HTTP 502: <html>a{400,500}…$/);
    const invalid = Object.assign(new Error(`to: ${page}`), { name: 'MailMessageError' });
    expect(foreignFailure('main', invalid, { recipients: 1, point: 'body' }).message).toMatch(
      /^main at mail: .{500}…$/,
    );
  });

  it('is told in the words of the provider', async () => {
    const provider = await startProvider('resend');
    provider.behave({ does: 'refuse-recipients', addresses: [ANN.address] });
    const resend = new ResendTransport({ apiKey: 'provider-key', baseUrl: provider.url });
    const error = await failure(
      transportOf(new NestMailCarrier(resend)).send(await outgoing({ to: [ANN] }), options()),
    );
    expect(error.reply).toBe(
      'validation_error: Invalid `to` field. The email address needs to follow the `email@example.com` format.',
    );
  });
});
