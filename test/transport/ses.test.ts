import { SESv2Client } from '@aws-sdk/client-sesv2';
import { generateKeyPairSync } from 'node:crypto';
import { beforeAll, beforeEach, describe, expect, it, onTestFinished, vi } from 'vitest';
import { DkimSigner } from '../../src/mime/dkim.js';
import { MailConfigError } from '../../src/errors.js';
import { parseSes } from '../../src/nest/options/ses.js';
import { OptionReader } from '../../src/nest/options/reader.js';
import { checkSes } from '../../src/transport/ses/client.js';
import { SesTransport } from '../../src/transport/ses/transport.js';
import type { ContractServer, ServerMail } from '../../src/testing/transport-checks.js';
import { transportContract } from '../../src/testing/transport-contract.js';
import { rawOf } from '../../src/mime/encoded.js';
import type { Outgoing } from '../../src/transport/transport.js';
import { eventually } from '../support/eventually.js';
import { freePort } from '../support/free-port.js';
import { SES_KEY, startSesStub, type SesRefusal, type SesStub } from '../support/ses-stub.js';
import { sendBy, sesOptions, sesTransport } from './ses.js';
import { failure, mail } from './smtp.js';

let ses: SesStub;
beforeAll(async () => {
  ses = await startSesStub();
});
beforeEach(() => ses.reset());

const raw = (outgoing: Outgoing): string => rawOf(outgoing).toString('latin1');
const many = (count: number): string[] => Array.from({ length: count }, (_, n) => `m${n}@mail.test`);

/** The stub as the contract of transports knows a server. */
const server: ContractServer & { mails: ServerMail[] } = {
  mails: [],
  behave(mood) {
    ses.reset();
    if (mood.does === 'be-down') ses.account = { EnforcementStatus: 'SHUTDOWN' };
    ses.onSend = async ({ to, raw: bytes }) => {
      if (mood.does === 'be-busy') return { status: 429, type: 'TooManyRequestsException' };
      if (mood.does === 'be-down') return { type: 'AccountSuspendedException' };
      if (mood.does === 'refuse-message') return { type: 'MessageRejected' };
      server.mails.push({ recipients: to, visible: bytes.toString(), raw: bytes });
      if (mood.does === 'say-nothing') return 'silence';
      await (mood.does === 'accept' && mood.after);
      return undefined;
    };
  },
};

describe('the contract of transports', () => {
  const create = () => new SesTransport(sesOptions(ses.url));
  // What SES says of one recipient it says of the request.
  const checks = transportContract({ server, create, cannot: ['refuse-recipients', 'refuse-some'] });
  it.each(checks)('$name', (check) => check.run());
});

describe('what SES is given', () => {
  it('is the very bytes, and the envelope beside them', async () => {
    const outgoing: Outgoing = {
      envelope: { from: 'bounces@shop.test', to: ['ann@mail.test', 'hidden@mail.test'] },
      headers: Buffer.from('From: Shop <shop@shop.test>\r\nTo: ann@mail.test\r\nMessage-ID: <1@shop.test>\r\n\r\n'),
      body: [Buffer.from('8 bits \xe9\xff, a dot:\r\n.\r\nand \u{1F48C}\r\n', 'latin1')],
      mail: {
        id: 'spring~1-0.3',
        messageId: '<1@shop.test>',
        campaignId: 'spring_5f',
        message: () => {
          throw new Error('It takes bytes');
        },
      },
    };
    const transport = sesTransport(ses.url, { configurationSet: 'news', tags: { app: 'shop' } });
    const acceptance = await sendBy(transport, outgoing);
    const [received] = ses.received;
    expect(received).toMatchObject({
      from: 'Shop <shop@shop.test>',
      to: ['ann@mail.test', 'hidden@mail.test'],
      configurationSet: 'news',
      tags: { app: 'shop', 'mail-id': 'spring_7e1-0_2e3', 'campaign-id': 'spring_5f5f' },
    });
    expect(received!.raw.toString('latin1')).toBe(raw(outgoing));
    expect(acceptance).toEqual({
      accepted: ['ann@mail.test', 'hidden@mail.test'],
      rejections: [],
      response: `200 Ok ${received!.id}`,
      providerId: `<${received!.id}@eu-west-1.amazonses.com>`,
    });
  });

  it('goes by its From, whatever the return path', async () => {
    const outgoing = mail();
    ses.verified = ['shop.test'];
    for (const from of ['', 'bounces@elsewhere.test']) {
      await sendBy(sesTransport(ses.url), { ...outgoing, envelope: { ...outgoing.envelope, from } });
    }
    const seen = { from: 'shop@shop.test', configurationSet: undefined, tags: {} };
    expect(ses.received).toEqual([expect.objectContaining(seen), expect.objectContaining(seen)]);
    ses.verified = ['elsewhere.test'];
    expect(await failure(sendBy(sesTransport(ses.url), outgoing))).toMatchObject({ kind: 'down', phase: 'mail' });
  });

  it('is signed, though not over what SES replaces', async () => {
    const { privateKey } = generateKeyPairSync('ed25519');
    const key = { domainName: 'shop.test', keySelector: 's', privateKey };
    const { ses: parsed } = parseSes(
      new OptionReader(
        { ...{ name: 'ses', ses: {} }, dkim: { ...key, headerFieldNames: 'From:Date:Message-ID:Subject' } },
        '',
      ),
    );
    const outgoing = mail();
    outgoing.headers = Buffer.from(`Date: x\r\nMessage-ID: <1@shop.test>\r\n${outgoing.headers.toString()}`);
    await sendBy(sesTransport(ses.url, { dkim: parsed.dkim! }), outgoing);
    expect(parsed.dkim).toBeInstanceOf(DkimSigner);
    expect(/\bh=([^;]+);/.exec(ses.received[0]!.raw.toString())?.[1]?.replace(/\s/g, '')).toBe('from:subject');
  });

  it('comes in requests of 50 recipients, and what one of them refuses is told', async () => {
    const to = many(120);
    const transport = sesTransport(ses.url);
    await expect(sendBy(transport, mail('All', to))).resolves.toMatchObject({ accepted: to, rejections: [] });
    expect(ses.received.map((one) => one.to.length)).toEqual([50, 50, 20]);
    ses.reset();
    ses.onSend = (one) =>
      one.to.includes('m50@mail.test') ? { type: 'BadRequestException', message: 'No' } : undefined;
    const partly = await sendBy(transport, mail('Some', to));
    expect(partly.accepted).toEqual([...to.slice(0, 50), ...to.slice(100)]);
    expect(partly.rejections).toHaveLength(50);
    expect(partly.rejections[0]).toEqual({
      address: 'm50@mail.test',
      reply: 'BadRequestException: No',
      permanent: true,
      kind: 'message-refused',
    });
    ses.onSend = (one) => (one.to.includes('m50@mail.test') ? 'reset-accepted' : undefined);
    const { rejections } = await sendBy(transport, mail('Lost', to));
    expect(rejections.map(({ kind }) => kind)).toEqual([
      ...(Array(50).fill('unknown') as string[]),
      ...(Array(20).fill('down') as string[]),
    ]);
    ses.onSend = () => ({ status: 429, type: 'TooManyRequestsException' });
    expect(await failure(sendBy(transport, mail('None', to)))).toMatchObject({ kind: 'busy', outcome: 'not-sent' });
  });

  it('is at most 40 MB as base64', async () => {
    const outgoing = { ...mail(), body: [Buffer.alloc(30 * 1024 * 1024)] };
    const error = await failure(sendBy(sesTransport(ses.url), outgoing));
    expect(error).toMatchObject({ kind: 'message-refused', permanent: true });
    expect(error.reply).toBe('The message has 40.0 MB as base64, and Amazon SES takes 40.0 MB');
    expect(ses.requests).toBe(0);
  });
});

describe('what SES answers', () => {
  it.each<[SesRefusal, object]>([
    [
      { type: 'MessageRejected', message: 'Virus' },
      { kind: 'message-refused', permanent: true, answersMessage: true },
    ],
    [
      { type: 'MessageRejected', message: 'Email address is not verified. The following identities failed the check' },
      { kind: 'down', permanent: false, phase: 'mail', answersMessage: true },
    ],
    [{ type: 'AccountSuspendedException' }, { kind: 'down', phase: 'greeting', answersMessage: false }],
    [{ type: 'SendingPausedException' }, { kind: 'down', phase: 'greeting', answersMessage: false }],
    [
      { status: 404, type: 'NotFoundException' },
      { kind: 'down', phase: 'auth', answersMessage: false },
    ],
    [
      { type: 'LimitExceededException', message: 'Daily message quota exceeded.' },
      { kind: 'down', phase: 'greeting' },
    ],
    [
      { status: 429, type: 'TooManyRequestsException' },
      { kind: 'busy', answersMessage: true },
    ],
    [
      { status: 403, type: 'AccessDeniedException', message: 'no' },
      { kind: 'down', phase: 'mail' },
    ],
    [
      { status: 500, type: 'InternalFailure' },
      { kind: 'unknown', outcome: 'unknown' },
    ],
    [
      { status: 504, type: 'GatewayTimeout' },
      { kind: 'unknown', outcome: 'unknown' },
    ],
  ])('%o', async (refusal, expected) => {
    ses.onSend = () => refusal;
    const error = await failure(sendBy(sesTransport(ses.url)));
    expect(error).toMatchObject(expected);
    expect(error.reply).toBe(refusal.message ? `${refusal.type}: ${refusal.message}` : refusal.type);
    // The SDK would have tried again.
    expect(ses.requests).toBe(1);
  });

  it('may tell when to come back', async () => {
    ses.onSend = () => ({ status: 429, type: 'TooManyRequestsException', headers: { 'retry-after': '7' } });
    const { retryAt = 0 } = await failure(sendBy(sesTransport(ses.url)));
    expect(Math.abs(retryAt - Date.now() - 7_000)).toBeLessThan(5_000);
  });

  it('may be none of SES', async () => {
    const port = await freePort();
    const { createServer } = await import('node:http');
    const server = createServer((_, response) =>
      response.writeHead(status, { 'content-type': 'text/html' }).end('<html>'),
    );
    let status = 404;
    await new Promise<void>((resolve) => server.listen(port, '127.0.0.1', resolve));
    onTestFinished(() => void server.close());
    const transport = sesTransport(`http://127.0.0.1:${port}`);
    const send = (): Promise<object> => failure(sendBy(transport));
    expect(await send()).toMatchObject({ kind: 'down', phase: 'auth', reply: 'HTTP 404: The answer is none of SES' });
    status = 200;
    expect(await send()).toMatchObject({ kind: 'unknown', outcome: 'unknown' });
  });

  it('never tells a credential', async () => {
    ses.onSend = () => ({
      status: 403,
      type: 'InvalidSignatureException',
      message: `The signature does not match. The Canonical String for this request should have been\n'POST\nx-amz-security-token:${'T0KEN'}'`,
    });
    const credentials = { ...SES_KEY, sessionToken: 'T0KEN' };
    const error = await failure(sendBy(sesTransport(ses.url, { credentials })));
    expect(error).toMatchObject({ kind: 'down', phase: 'auth' });
    expect(error.reply).toBe('InvalidSignatureException: The signature does not match.');
    const { inspect } = await import('node:util');
    expect(inspect(error, { depth: 10, showHidden: true })).not.toMatch(/T0KEN|s3cret/);
  });
});

describe('without an answer', () => {
  it('a connection that cannot be made leaves nothing sent', async () => {
    const error = await failure(sendBy(sesTransport(`http://127.0.0.1:${await freePort()}`)));
    expect(error).toMatchObject({ phase: 'connect', outcome: 'not-sent', kind: 'down', scope: 'transport' });
    expect(error.reply).toContain('ECONNREFUSED');
  });

  it('TLS that cannot be agreed on does neither', async () => {
    const error = await failure(sendBy(sesTransport(ses.url.replace('http:', 'https:'))));
    expect(error).toMatchObject({ phase: 'connect', outcome: 'not-sent', kind: 'down' });
    expect(ses.requests).toBe(0);
  });

  it('a connection that breaks, or stays silent, leaves it open', async () => {
    const transport = sesTransport(ses.url, { timeout: 50 });
    const open = { phase: 'body', outcome: 'unknown', kind: 'unknown', scope: 'message', permanent: false };
    ses.onSend = () => 'reset';
    expect(await failure(sendBy(transport))).toMatchObject(open);
    ses.onSend = () => 'reset-accepted';
    expect(await failure(sendBy(transport))).toMatchObject(open);
    expect(ses.received).toHaveLength(1);
    ses.onSend = () => 'silence';
    expect(await failure(sendBy(transport))).toMatchObject({ ...open, reply: 'No answer within 50 ms' });
    expect(ses.requests).toBe(3);
  });

  it('an abort after the request leaves it open, one before does not', async () => {
    const transport = sesTransport(ses.url, { maxConnections: 1 });
    const [first, second] = [new AbortController(), new AbortController()];
    ses.onSend = () => 'silence';
    const sending = failure(sendBy(transport, mail(), { signal: first.signal }));
    await eventually(() => ses.requests === 1);
    // It waits for the only connection.
    const waiting = failure(sendBy(transport, mail(), { signal: second.signal }));
    second.abort(new Error('too late'));
    expect(await waiting).toMatchObject({ outcome: 'not-sent', phase: 'queue', reply: 'too late' });
    expect(await failure(sendBy(transport, mail(), { handoverWithin: 1 }))).toMatchObject({
      outcome: 'not-sent',
      // Which says nothing about SES.
      phase: 'queue',
      reply: 'No connection was ready within 1 ms',
    });
    first.abort(new Error('shutting down'));
    expect(await sending).toMatchObject({ outcome: 'unknown', phase: 'body', reply: 'shutting down' });
    const aborted = AbortSignal.abort(new Error('at once'));
    expect(await failure(sendBy(transport, mail(), { signal: aborted }))).toMatchObject({ outcome: 'not-sent' });
    expect(ses.requests).toBe(1);
  });

  it('what may not be handed over is not', async () => {
    const transport = sesTransport(ses.url);
    expect(await failure(sendBy(transport, mail(), { mayHandOver: () => false }))).toMatchObject({
      outcome: 'not-sent',
      phase: 'queue',
    });
    expect(ses.requests).toBe(0);
  });

  it('credentials that are missing, or long in coming, are told', async () => {
    const none = () =>
      Promise.reject(Object.assign(new Error('Could not load credentials'), { name: 'CredentialsProviderError' }));
    expect(await failure(sendBy(sesTransport(ses.url, { credentials: none })))).toMatchObject({
      phase: 'auth',
      kind: 'down',
      outcome: 'not-sent',
      reply: 'Could not load credentials',
    });
    const never = () => new Promise<never>(() => undefined);
    const error = await failure(sendBy(sesTransport(ses.url, { credentials: never }), mail(), { handoverWithin: 1 }));
    expect(error).toMatchObject({ outcome: 'not-sent', kind: 'down' });
  });
});

describe('connections', () => {
  it('are kept, and each lane has its own', async () => {
    const transport = sesTransport(ses.url, { maxConnections: 2 });
    for (const lane of ['priority', 'bulk'] as const) {
      for (let round = 0; round < 3; round++) {
        await Promise.all([1, 2, 3].map(() => sendBy(transport, mail(), { lane })));
      }
    }
    expect(ses.received).toHaveLength(18);
    expect(ses.connections).toBe(4);
  });

  it('end when what is under way has', async () => {
    const transport = sesTransport(ses.url);
    ses.delay = 30;
    const sending = sendBy(transport);
    await eventually(() => ses.requests === 1);
    await transport.close(5_000);
    await expect(sending).resolves.toMatchObject({ rejections: [] });
    expect(await failure(sendBy(transport))).toMatchObject({ outcome: 'not-sent', phase: 'queue' });
    const hasty = sesTransport(ses.url);
    ses.onSend = () => 'silence';
    const cut = failure(sendBy(hasty));
    await eventually(() => ses.requests === 2);
    await hasty.close(1);
    expect(await cut).toMatchObject({ outcome: 'unknown', reply: 'The mail transport is closing' });
  });
});

describe('a client of the application', () => {
  const clientOf = (options: object = {}) => {
    const client = new SESv2Client({ region: 'us-east-1', endpoint: ses.url, credentials: SES_KEY, ...options });
    onTestFinished(() => client.destroy());
    return client;
  };

  it('is used as it is', async () => {
    const transport = sesTransport('', { client: clientOf({ maxAttempts: 1 }) });
    const { providerId } = await sendBy(transport);
    expect(providerId).toBe(`<${ses.received[0]!.id}@email.amazonses.com>`);
    ses.onSend = () => 'reset';
    expect(await failure(sendBy(transport))).toMatchObject({ outcome: 'unknown' });
    await transport.close(0);
    ses.onSend = () => undefined;
    await sendBy(sesTransport('', { client: clientOf({ maxAttempts: 1 }) }));
    const unreached = clientOf({ maxAttempts: 1, endpoint: `http://127.0.0.1:${await freePort()}` });
    expect(await failure(sendBy(sesTransport('', { client: unreached })))).toMatchObject({ outcome: 'not-sent' });
  });

  it('must not send again by itself', async () => {
    const client = clientOf();
    await expect(checkSes({ name: 'ses', client })).rejects.toThrow(MailConfigError);
    expect(await failure(sendBy(sesTransport('', { client })))).toMatchObject({
      kind: 'down',
      outcome: 'not-sent',
      reply: expect.stringContaining('maxAttempts: 1') as string,
    });
    expect(ses.requests).toBe(0);
  });
});

describe('the account', () => {
  const check = (transport: SesTransport): Promise<void> => transport.verify(AbortSignal.timeout(10_000));

  it('is told of', async () => {
    ses.account = {
      ProductionAccessEnabled: false,
      EnforcementStatus: 'PROBATION',
      SendQuota: { Max24HourSend: 200, MaxSendRate: 1, SentLast24Hours: 12 },
    };
    const transport = sesTransport(ses.url);
    await check(transport);
    expect(transport.notice).toBe(
      'SES sandbox: only verified addresses get mail; SES has put the account on probation; 12 of 200 recipients in the last 24 hours; at most 1 a second',
    );
  });

  it.each([
    [{ SendingEnabled: false }, 'Sending is paused for this account'],
    [{ EnforcementStatus: 'SHUTDOWN' }, 'SES has shut down sending for this account'],
    [
      { SendQuota: { Max24HourSend: 200, MaxSendRate: 1, SentLast24Hours: 200 } },
      'The quota of 200 recipients in 24 hours is used up',
    ],
  ])('is down with %o', async (account, reply) => {
    ses.account = account;
    expect(await failure(check(sesTransport(ses.url)))).toMatchObject({ kind: 'down', phase: 'greeting', reply });
  });

  it('need not be told: the credentials are good', async () => {
    for (const [status, type] of [
      [403, 'AccessDeniedException'],
      [429, 'TooManyRequestsException'],
    ] as const) {
      ses.account = { status, type, message: 'No' };
      await check(sesTransport(ses.url));
    }
  });

  it('is nobody’s with another key', async () => {
    const credentials = { ...SES_KEY, accessKeyId: 'AKIDOTHER' };
    expect(await failure(check(sesTransport(ses.url, { credentials })))).toMatchObject({ phase: 'auth', kind: 'down' });
  });

  it('tells its rate at the start, and when that has changed', async () => {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
    onTestFinished(() => void vi.useRealTimers());
    const rates: number[] = [];
    const transport = sesTransport(ses.url, { followsRate: true });
    ses.account = { SendQuota: { Max24HourSend: 200, MaxSendRate: 14, SentLast24Hours: 12 } };
    await transport.start({
      roundTrip: () => undefined,
      connectFailed: () => undefined,
      rateAllowed: (rate) => void rates.push(rate),
    });
    expect(rates).toEqual([14]);
    ses.account = { SendQuota: { Max24HourSend: 200, MaxSendRate: 90, SentLast24Hours: 12 } };
    await vi.advanceTimersByTimeAsync(23 * 60_000);
    await eventually(() => expect(rates).toEqual([14, 90]));
  });

  it('may keep its rate to itself, which is logged once', async () => {
    ses.account = { status: 403, type: 'AccessDeniedException', message: 'User is not authorized' };
    const warnings: string[] = [];
    const transport = new SesTransport(
      sesOptions(ses.url, { followsRate: true }),
      (warning) => void warnings.push(warning),
    );
    onTestFinished(() => transport.close(0));
    const failures: unknown[] = [];
    await transport.start({ roundTrip: () => undefined, connectFailed: (error) => void failures.push(error) });
    expect(warnings).toEqual([expect.stringContaining('Allow ses:GetAccount, or give a rateLimit.')]);
    expect(failures).toEqual([]);
    await expect(sendBy(transport)).resolves.toMatchObject({ rejections: [] });
  });
});
