import { describe, expect, it } from 'vitest';
import { Mailbox } from '../../src/testing/mailbox.js';
import { main, parse, refusal, smtp, withMain, withTransport } from './options.js';

describe('the defaults', () => {
  it('are those the documentation tells', () => {
    expect(parse({})).toMatchObject({
      priority: { timeout: 10_000, overflow: 'throw', retryUnknown: false },
      idempotencyTtl: 86_400_000,
      defaultLane: 'priority',
      shutdownTimeout: 15_000,
      rules: { limits: { recipients: 100, attachmentBytes: 25 * 1024 * 1024 } },
      queue: {
        name: 'mail',
        target: { kind: 'embedded', folder: expect.stringMatching(/\.mail-queue$/) as string },
        batch: { size: 250, maxBytes: 262_144, maxDuration: 10_000 },
        worker: { autorun: true, batches: 4, lockDuration: 10_000 },
        retry: { attempts: 5, maxAge: 86_400_000, firstPause: 60_000, maxPause: 3_600_000 },
        keep: { sent: 86_400_000, failed: 2_592_000_000 },
      },
    });
    expect(smtp({})).toEqual({
      name: 'main',
      host: 'smtp.shop.test',
      port: 587,
      secure: false,
      lanes: ['priority', 'bulk'],
      maxConnections: 5,
      minWarm: 1,
      keepAlive: 20_000,
      idleTimeout: 60_000,
      maxAge: 900_000,
      maxMessages: 1_000,
      connectTimeout: 10_000,
      greetingTimeout: 10_000,
      commandTimeout: 30_000,
      bodyTimeout: 300_000,
    });
  });
});

describe('what is given', () => {
  it('is read, durations in words', () => {
    const settings = parse({
      from: 'Shop <no-reply@shop.test>',
      region: 'eu',
      priority: { timeout: '3s', overflow: 'queue', retryUnknown: true },
      idempotencyTtl: '90d',
      resolveTransport: () => undefined,
      attachments: { allowedDir: '/srv/files' },
      limits: { recipients: 5 },
      defaultLane: 'bulk',
      shutdownTimeout: '1m',
      queue: {
        connection: 'redis://127.0.0.1:6379/1',
        batch: { size: 10, maxBytes: 2_048, maxDuration: '5s' },
        worker: { autorun: false, batches: 2, lockDuration: '20s' },
        retry: { attempts: 3, maxAge: '90d', firstPause: '1s', maxPause: '10s' },
        keep: { sent: '2h', failed: '365d' },
      },
    });
    expect(settings).toMatchObject({
      region: 'eu',
      priority: { timeout: 3_000, overflow: 'queue', retryUnknown: true },
      idempotencyTtl: 7_776_000_000,
      resolveTransport: expect.any(Function) as unknown,
      defaultLane: 'bulk',
      shutdownTimeout: 60_000,
      rules: { from: { name: 'Shop', address: 'no-reply@shop.test' }, attachments: { allowedDir: '/srv/files' } },
      queue: {
        target: { kind: 'redis', url: 'redis://127.0.0.1:6379/1' },
        batch: { size: 10, maxBytes: 2_048, maxDuration: 5_000 },
        worker: { autorun: false, batches: 2, lockDuration: 20_000 },
        retry: { attempts: 3, maxAge: 7_776_000_000, firstPause: 1_000, maxPause: 10_000 },
        keep: { sent: 7_200_000, failed: 31_536_000_000 },
      },
    });
    expect(settings.rules.limits).toMatchObject({ recipients: 5, headers: 50 });
    expect(parse({ queue: { worker: false } }).queue).toMatchObject({
      worker: { autorun: false, batches: 4, lockDuration: 10_000 },
    });
    expect(parse({ queue: false }).queue).toBe(false);
  });

  it.each([
    ['smtp://localhost:1025', { host: 'localhost', port: 1025, secure: false }],
    ['smtps://smtp.shop.test', { host: 'smtp.shop.test', port: 465, secure: true }],
    ['smtp://smtp.shop.test/', { host: 'smtp.shop.test', port: 587 }],
    ['smtp://[::1]:25', { host: '::1', port: 25 }],
    ['smtp://user:p%2Fa%3As%40s%25@host', { host: 'host', auth: { user: 'user', pass: 'p/a:s@s%' } }],
    ['smtp://me%40shop.test:pass@host', { auth: { user: 'me@shop.test', pass: 'pass' } }],
    ['smtp://user:100%@host', { auth: { user: 'user', pass: '100%' } }],
  ])('may be the URL %s', (url, expected) => {
    expect(smtp({ url })).toMatchObject(expected);
  });

  it('may be a transport of the application’s own', () => {
    const mailbox = new Mailbox();
    expect(parse({ transports: [mailbox, main] }).transports[0]).toEqual({ custom: mailbox, lent: false });
  });

  it('goes before the application’s own connection, and that before the default', () => {
    const host = { connection: { host: 'redis.shop.test', port: 6379 } };
    expect(parse({}, host).queue).toMatchObject({ target: { kind: 'redis', options: host.connection } });
    expect(parse({ queue: { connection: 'pglite://memory' } }, host).queue).toMatchObject({
      target: { kind: 'embedded', memory: true },
    });
  });
});

describe('what is wrong', () => {
  it.each<[string, unknown, string]>([
    ['no transports', {}, 'The mail option transports is missing. Give at least one'],
    [
      'an empty list of them',
      withMain({ transports: [] }),
      'The mail option transports is an empty list. Give at least one',
    ],
    [
      'transports by name',
      withMain({ transports: { main } }),
      'The mail option transports is an object. Give at least one',
    ],
    [
      'a transport that is none',
      withMain({ transports: ['smtp://x'] }),
      'The mail option transports[0] is "smtp://x". Give an object',
    ],
    [
      'one without a name',
      { transports: [{ url: main.url }] },
      'The mail option transports[0].name is missing. Give it a name',
    ],
    [
      'one without a URL',
      { transports: [{ name: 'a' }] },
      'The mail option transports[0].url is missing. Give smtp://',
    ],
    [
      'two of the same name',
      withMain({ transports: [main, main] }),
      'The mail option transports[1].name is "main". Give each transport a name of its own',
    ],
    [
      'a URL without scheme',
      withTransport({ url: 'smtp.shop.test' }),
      'transports[0].url is "smtp.shop.test". Give smtp://',
    ],
    [
      'another scheme',
      withTransport({ url: 'http://smtp.shop.test' }),
      'transports[0].url is "http://smtp.shop.test". Give smtp://',
    ],
    ['no host', withTransport({ url: 'smtp://' }), 'transports[0].url is "smtp://". Give smtp://'],
    ['a user without password', withTransport({ url: 'smtp://user@host' }), 'Give a password with the user'],
    [
      'options in the URL',
      withTransport({ url: 'smtp://host?pool=true' }),
      'transports[0].url is "smtp://host?…". Give no path or query',
    ],
    [
      'a lane that is none',
      withTransport({ lanes: ['fast'] }),
      "transports[0].lanes is a list. Give a list of 'priority' and 'bulk'",
    ],
    ['no lane', withTransport({ lanes: [] }), 'transports[0].lanes is an empty list. Give a list of'],
    ['a lane alone', withTransport({ lanes: 'bulk' }), 'transports[0].lanes is "bulk". Give a list of'],
    [
      'no connections',
      withTransport({ maxConnections: 0 }),
      'transports[0].maxConnections is 0. Give a whole number from 1',
    ],
    [
      'part of a connection',
      withTransport({ maxConnections: 1.5 }),
      'transports[0].maxConnections is 1.5. Give a whole number',
    ],
    ['a number in words', withTransport({ maxMessages: '5' }), 'transports[0].maxMessages is "5". Give a whole number'],
    [
      'a duration that is none',
      withTransport({ idleTimeout: 'soon' }),
      'transports[0].idleTimeout is "soon". Give milliseconds or a string such as',
    ],
    ['one below zero', withTransport({ idleTimeout: -1 }), 'transports[0].idleTimeout is -1. Give milliseconds'],
    ['one of nothing', withTransport({ connectTimeout: 0 }), 'transports[0].connectTimeout is 0. Give at least 1 ms'],
    [
      'one that no timer can wait',
      withTransport({ bodyTimeout: '25d' }),
      'transports[0].bodyTimeout is "25d". Give at most 2147483647 ms',
    ],
    ['TLS that is no options', withTransport({ tls: true }), "transports[0].tls is true. Give Node's TLS options"],
    [
      'a typo in a transport',
      withTransport({ maxConnection: 5 }),
      'transports[0].maxConnection is not known. Known here: auth, bodyTimeout, commandTimeout, connectTimeout,',
    ],
    [
      'a typo',
      withMain({ form: 'x' }),
      'The mail option form is not known. Known here: attachments, balance, bounces, classify, collect, defaultLane',
    ],
    [
      'a typo deeper down',
      withMain({ queue: { batch: { sise: 5 } } }),
      'The mail option queue.batch.sise is not known. Known here: maxBytes, maxDuration, size',
    ],
    [
      'a typo beside the priority timeout',
      withMain({ priority: { timeOut: 5 } }),
      'The mail option priority.timeOut is not known',
    ],
    [
      'an overflow that is none',
      withMain({ priority: { overflow: 'bulk' } }),
      `The mail option priority.overflow is "bulk". Give one of 'throw', 'queue'`,
    ],
    [
      'a word for collecting that is none',
      withMain({ collect: 'request' }),
      `The mail option collect is "request". Give 'requests', or an object`,
    ],
    [
      'a collection of none',
      withMain({ collect: { max: 0 } }),
      'The mail option collect.max is 0. Give a whole number from 1 to',
    ],
    ['a misspelt part of collect', withMain({ collect: { onerror: 'flush' } }), 'collect.onerror is not known'],
    [
      'nothing to collect for',
      withMain({ collect: 'requests', queue: false }),
      'The mail option collect is "requests". There is no bulk lane',
    ],
    [
      'an overflow into no queue',
      withMain({ priority: { overflow: 'queue' }, queue: false }),
      `The mail option priority.overflow is "queue". There is no queue with queue: false; give 'throw'`,
    ],
    [
      'a retry in words',
      withMain({ priority: { retryUnknown: 'yes' } }),
      'The mail option priority.retryUnknown is "yes". Give true or false',
    ],
    [
      'keys forgotten at once',
      withMain({ idempotencyTtl: 999 }),
      'The mail option idempotencyTtl is 999. Give at least 1000 ms',
    ],
    [
      'keys remembered for ever',
      withMain({ idempotencyTtl: 'always' }),
      'The mail option idempotencyTtl is "always". Give milliseconds or a string such as',
    ],
    [
      'a lookup that is none',
      withMain({ resolveTransport: { acme: main } }),
      'The mail option resolveTransport is an object. Give a function that takes a name and returns a transport',
    ],
    [
      'a lookup that is null',
      withMain({ resolveTransport: null }),
      'The mail option resolveTransport is null. Give a function',
    ],
    [
      'a typo among the limits',
      withMain({ limits: { recipient: 5 } }),
      'The mail option limits.recipient is not known',
    ],
    ['a sender that is none', withMain({ from: 'Shop' }), 'The mail option from is "Shop". Give one address'],
    [
      'two senders',
      withMain({ from: 'a@shop.test, b@shop.test' }),
      'The mail option from is "a@shop.test, b@shop.test". Give one address',
    ],
    ['an empty region', withMain({ region: '' }), 'The mail option region is "". Give a string that is not empty'],
    [
      'a lane by default that is none',
      withMain({ defaultLane: 'fast' }),
      `The mail option defaultLane is "fast". Give one of 'priority', 'bulk'`,
    ],
    ['a section that is none', withMain({ priority: 5 }), 'The mail option priority is 5. Give an object'],
    ['a queue that is none', withMain({ queue: 'redis://x' }), 'The mail option queue is "redis://x". Give an object'],
    ['a queue switched on', withMain({ queue: true }), 'The mail option queue is true. Give an object'],
    [
      'a store that is none',
      withMain({ queue: { connection: 'mysql://host/db' } }),
      'queue.connection is "mysql://host/db", which is no store. Use redis://',
    ],
    [
      'a store of another kind',
      withMain({ queue: { connection: 5 } }),
      'queue.connection is of type number, which is no store. Use redis://',
    ],
    [
      'an embedded store nowhere',
      withMain({ queue: { connection: 'pglite://' } }),
      'queue.connection is "pglite://", which is no store',
    ],
    [
      'a worker switched on',
      withMain({ queue: { worker: true } }),
      'The mail option queue.worker is true. Give an object',
    ],
    [
      'empty batches',
      withMain({ queue: { batch: { size: 0 } } }),
      'The mail option queue.batch.size is 0. Give a whole number from 1 to 10000',
    ],
    [
      'a configuration that nobody registered',
      withMain({ queue: { configKey: 'other' } }),
      `The mail option queue.configKey is "other". Register that configuration with BullModule.forRoot('other', { connection })`,
    ],
    [
      'a limit that is none',
      withMain({ limits: { recipients: -1 } }),
      'The mail option limits.recipients is -1. Give a whole number from 0',
    ],
    [
      'a balance that is none',
      withMain({ balance: 'random' }),
      `The mail option balance is "random". Give one of 'least-loaded', 'round-robin', 'weighted'.`,
    ],
    [
      'a lane in place of a classifier',
      withMain({ classify: 'bulk' }),
      'The mail option classify is "bulk". Give a function that takes a message and returns a lane, or a list',
    ],
    [
      'what is no interceptor',
      withMain({ intercept: [() => false, null] }),
      'The mail option intercept[1] is null. Give a function that takes a mail, or a list of them',
    ],
    ['no options at all', null, 'is null. Give an object'],
  ])('stops the boot with path, value and remedy: %s', (_, options, expected) => {
    expect(refusal(options)).toContain(expected);
  });

  it.each([
    ['name', undefined, 'missing'],
    ['lanes', ['fast'], 'a list'],
    ['maxConnections', undefined, 'missing'],
    ['verify', undefined, 'missing'],
    ['close', 5, '5'],
  ])('is a transport of the application’s own whose %s is %j', (member, value, shown) => {
    const transport = Object.assign(new Mailbox(), { [member]: value });
    expect(refusal({ transports: [transport], queue: false })).toContain(`transports[0].${member} is ${shown}`);
  });

  it('is a lane without a way out', () => {
    const only = (lane: string) => refusal({ transports: [{ ...main, lanes: [lane] }] });
    expect(only('priority')).toBe(
      "No mail transport serves the bulk lane. Add 'bulk' to the `lanes` of one of transports, or set queue: false.",
    );
    expect(only('bulk')).toBe(
      "No mail transport serves the priority lane. Add 'priority' to the `lanes` of one of transports.",
    );
    expect(refusal({ transports: [{ ...main, lanes: ['priority'] }], queue: false })).toBe('It is taken');
  });

  it('is the bulk lane by default where there is none', () => {
    expect(refusal(withMain({ queue: false, defaultLane: 'bulk' }))).toBe(
      `The mail option defaultLane is "bulk". There is no bulk lane with queue: false; give 'priority'.`,
    );
  });
});

describe('a credential', () => {
  const PASSWORD = 's3/cr3t+w@rd';

  it.each([
    `smtp://user:${PASSWORD}@host:587`,
    `smtp://user:s3cr3t@host:port`,
    `smtp:/user:${PASSWORD}@host`,
    `smtp//user:${PASSWORD}@host`,
    `user:${PASSWORD}@host:587`,
    `http://user:${PASSWORD}@host`,
    `smtp://user:s3cr3t#x@host`,
    `smtp://user:12/s3cr3t@host`,
    `smtp://user:s3cr3t x@host:port`,
    `smtp://host?password=s3cr3t`,
  ])('is not told when the URL is wrong: %s', (url) => {
    const told = refusal(withTransport({ url }));
    expect(told).toContain('transports[0].url');
    expect(told).not.toMatch(/s3\/?cr3t|w@rd/);
  });

  it.each(['redis', 'mysql', 'postgres'])('of a %s store is not told either', (scheme) => {
    const told = refusal(withMain({ queue: { connection: `${scheme}://user:${PASSWORD}@host:port/db` } }));
    expect(told).toContain('queue.connection');
    expect(told).not.toMatch(/s3\/?cr3t|w@rd/);
  });
});
