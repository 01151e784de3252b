import { describe, expect, it } from 'vitest';
import { parseTenant } from '../../src/nest/options/parse.js';
import type { SmtpSettings } from '../../src/nest/options/smtp.js';
import { Mailbox } from '../../src/testing/mailbox.js';
import { main, parse, refusal, settings, smtp, withTransport } from './options.js';

const refused = (transport: object): string => refusal(withTransport(transport));

describe('auth', () => {
  it.each([
    ['a user and a password', { user: 'me', pass: 's3cret' }, { user: 'me', pass: 's3cret' }],
    [
      'the same by another method',
      { type: 'login', user: 'me', pass: 's3cret', method: 'CRAM-MD5' },
      { user: 'me', pass: 's3cret', method: 'CRAM-MD5' },
    ],
    ...(['accessToken', 'refreshToken', 'serviceClient', 'provisionCallback'] as const).map(
      (source): [string, object, object] => {
        const auth = { type: 'OAuth2', user: 'me', [source]: 'x', clientId: 'id' };
        return [`OAuth2 with ${source}`, auth, auth];
      },
    ),
  ])('may be %s', (_, auth, expected) => {
    expect(smtp({ auth }).auth).toEqual(expected);
  });

  it('is none by default, and may come with the URL', () => {
    expect(smtp({})).not.toHaveProperty('auth');
    expect(smtp({ url: 'smtp://me:s3cret@smtp.shop.test' }).auth).toEqual({ user: 'me', pass: 's3cret' });
  });

  it.each<[string, object, string]>([
    [
      'two logins',
      { url: 'smtp://me:s3cret@host', auth: { user: 'me', pass: 's3cret' } },
      'The mail option transports[0].auth is an object. The url has a login already; give one of them.',
    ],
    ['a string', { auth: 'me:s3cret' }, 'transports[0].auth is of type string. Give an object such as { user, pass }.'],
    ['a list', { auth: ['me', 's3cret'] }, 'transports[0].auth is a list. Give an object.'],
    ['no user', { auth: { pass: 's3cret' } }, 'transports[0].auth.user is missing. Give the user to log in as.'],
    ['an empty user', { auth: { user: '', pass: 's3cret' } }, 'transports[0].auth.user is "". Give a string'],
    ['no password', { auth: { user: 'me' } }, 'transports[0].auth.pass is missing. Give the password as a string.'],
    ['an empty one', { auth: { user: 'me', pass: '' } }, 'transports[0].auth.pass is empty. Give the password'],
    [
      'a number',
      { auth: { user: 'me', pass: 12345678 } },
      'transports[0].auth.pass is of type number. Give the password',
    ],
    [
      'an unknown type',
      { auth: { type: 'NTLM', user: 'me', pass: 's3cret' } },
      `transports[0].auth.type is "NTLM". Give one of 'login', 'OAuth2'.`,
    ],
    [
      'an unknown method',
      { auth: { user: 'me', pass: 's3cret', method: 'GSSAPI' } },
      `transports[0].auth.method is "GSSAPI". Give one of 'PLAIN', 'LOGIN', 'CRAM-MD5'.`,
    ],
    [
      'a typo',
      { auth: { user: 'me', pass: 's3cret', password: 's3cret' } },
      'transports[0].auth.password is not known. Known here: method, pass, type, user.',
    ],
    [
      'OAuth2 without a source of tokens',
      { auth: { type: 'OAuth2', user: 'me', clientId: 'id', clientSecret: 's3cret' } },
      'transports[0].auth is an object. Give one of accessToken, refreshToken, serviceClient, provisionCallback.',
    ],
    [
      'OAuth2 whose token is not set',
      { auth: { type: 'OAuth2', user: 'me', accessToken: undefined } },
      'transports[0].auth is an object. Give one of accessToken,',
    ],
    [
      'OAuth2 without a user',
      { auth: { type: 'OAuth2', accessToken: 's3cret' } },
      'transports[0].auth.user is missing. Give the user to log in as.',
    ],
  ])('stops the boot with %s, and tells no password', (_, transport, expected) => {
    const told = refused(transport);
    expect(told).toContain(expected);
    expect(told).not.toMatch(/s3cret|12345678/);
  });
});

describe('weight', () => {
  it('is read, of an application’s own transport too', () => {
    expect(settings({ weight: 5 }).weight).toBe(5);
    const own = (weight: number) => refusal({ transports: [Object.assign(new Mailbox(), { weight })] });
    expect(own(0.5)).toBe('It is taken');
    expect(own(0)).toContain('transports[0].weight is 0. Give a number above 0.');
  });

  it('is refused for a tenant, whose mail has no choice', () => {
    expect(() => parseTenant('blog', { url: 'smtp://smtp.blog.test', weight: 2 })).toThrow('weight is not known');
  });
});

describe('the limits of a transport', () => {
  it('are none but maxConnections by default', () => {
    expect(settings({})).toEqual({ smtp: smtp({}), weight: 1 });
  });

  it('are read, durations in words', () => {
    const limited = { rateLimit: { messages: 14, per: '1s', reserve: 4 }, maxTotalConnections: 20 };
    expect(settings(limited)).toMatchObject({
      rateLimit: { messages: 14, per: 1_000, reserve: 4 },
      maxTotalConnections: 20,
    });
    expect(settings({ rateLimit: { messages: 1, per: '24h' } }).rateLimit).toEqual({
      messages: 1,
      per: 86_400_000,
      reserve: 0,
    });
  });

  it.each<[string, object, string]>([
    ['no object', { rateLimit: 14 }, 'transports[0].rateLimit is 14. Give an object.'],
    ['no messages', { rateLimit: { per: '1s' } }, 'transports[0].rateLimit.messages is missing. Give a whole number'],
    [
      'too few of them',
      { rateLimit: { messages: 0, per: '1s' } },
      'transports[0].rateLimit.messages is 0. Give a whole number from 1 to 1000000.',
    ],
    [
      'too many',
      { rateLimit: { messages: 1_000_001, per: '1s' } },
      'transports[0].rateLimit.messages is 1000001. Give a whole number from 1 to 1000000.',
    ],
    [
      'no span',
      { rateLimit: { messages: 14 } },
      `transports[0].rateLimit.per is missing. Give milliseconds or a string such as '1s', '1m' or '24h'.`,
    ],
    [
      'a span that is none',
      { rateLimit: { messages: 14, per: 'second' } },
      'transports[0].rateLimit.per is "second". Give milliseconds or a string',
    ],
    [
      'a span that no store can count',
      { rateLimit: { messages: 14, per: 999 } },
      'transports[0].rateLimit.per is 999. Give at least 1000 ms.',
    ],
    [
      'a reserve of all',
      { rateLimit: { messages: 14, per: '1s', reserve: 14 } },
      'transports[0].rateLimit.reserve is 14. Give a whole number from 0 to 13.',
    ],
    [
      'a typo',
      { rateLimit: { messages: 14, per: '1s', burst: 3 } },
      'transports[0].rateLimit.burst is not known. Known here: messages, per, reserve.',
    ],
    [
      'no connections in all',
      { maxTotalConnections: 0 },
      'transports[0].maxTotalConnections is 0. Give a whole number from 1 to 10000.',
    ],
    [
      'too many in all',
      { maxTotalConnections: 10_001 },
      'transports[0].maxTotalConnections is 10001. Give a whole number from 1 to 10000.',
    ],
    [
      'more warm connections than there may be',
      { maxConnections: 3, minWarm: 4 },
      'transports[0].minWarm is 4. Give a whole number from 0 to 3.',
    ],
    ['fewer than none', { minWarm: -1 }, 'transports[0].minWarm is -1. Give a whole number from 0 to 5.'],
    ['a connection that is no more', { maxAge: 999 }, 'transports[0].maxAge is 999. Give at least 1000 ms.'],
    ['a negative interval', { keepAlive: -1 }, 'transports[0].keepAlive is -1. Give milliseconds'],
    ['a greeting at once', { greetingTimeout: 0 }, 'transports[0].greetingTimeout is 0. Give at least 1 ms.'],
    ['an answer at once', { commandTimeout: 0 }, 'transports[0].commandTimeout is 0. Give at least 1 ms.'],
  ])('stop the boot with %s', (_, transport, expected) => {
    expect(refused(transport)).toContain(`The mail option ${expected}`);
  });
});

describe('the connections of a transport', () => {
  it.each([
    [{ keepAlive: 0 }, { keepAlive: 0 }],
    [
      { keepAlive: '5s', idleTimeout: 0 },
      { keepAlive: 5_000, idleTimeout: 0 },
    ],
    [
      { maxConnections: 3, minWarm: 3 },
      { maxConnections: 3, minWarm: 3 },
    ],
    [{ minWarm: 0 }, { minWarm: 0 }],
    [{ maxAge: '1s' }, { maxAge: 1_000 }],
    [
      { connectTimeout: '1s', greetingTimeout: '2s', commandTimeout: '3s', bodyTimeout: '4s' },
      { connectTimeout: 1_000, greetingTimeout: 2_000, commandTimeout: 3_000, bodyTimeout: 4_000 },
    ],
  ])('are kept as %j says', (transport, expected) => {
    expect(smtp(transport)).toMatchObject(expected);
  });

  it('are none in advance for the bulk lane alone, and for tenants', () => {
    const bulk = { name: 'bulk', url: 'smtp://host', lanes: ['bulk'] };
    const transports = parse({ transports: [main, bulk], queue: false }).transports as SmtpSettings[];
    expect(transports.map((transport) => transport.smtp.minWarm)).toEqual([1, 0]);
    const tenant = parseTenant('acme', { url: 'smtp://host' }) as SmtpSettings;
    expect(tenant.smtp).toMatchObject({ name: 'acme', minWarm: 0, lanes: ['priority', 'bulk'] });
    expect((parseTenant('acme', { url: 'smtp://host', minWarm: 2 }) as SmtpSettings).smtp.minWarm).toBe(2);
  });
});

describe('a tenant', () => {
  it('may be a transport of the application’s own', () => {
    const mailbox = new Mailbox();
    expect(parseTenant('acme', mailbox)).toEqual({ custom: mailbox, lent: true });
  });

  it.each([
    [{}, 'The mail option resolveTransport("acme").url is missing. Give smtp://'],
    ['smtp://host', 'The mail option resolveTransport("acme") is "smtp://host". Give an object.'],
    [{ url: 'smtp://me:s3cret@host', name: 'acme' }, 'The mail option resolveTransport("acme").name is not known.'],
    [{ url: 'smtp://me:s3cret@host', lanes: ['bulk'] }, 'The mail option resolveTransport("acme").lanes is not known.'],
    [{ url: 'http://me:s3cret@host' }, 'The mail option resolveTransport("acme").url is "http://***@host".'],
    [{ send: () => undefined }, 'The mail option resolveTransport("acme") is an object. Give one of @nestjs/mail or'],
  ])('that is wrong is told by its name: %j', (config, expected) => {
    expect(() => parseTenant('acme', config)).toThrow(expected);
    expect(() => parseTenant('acme', config)).not.toThrow('s3cret');
  });
});
