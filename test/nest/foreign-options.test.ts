import { ResendTransport } from '@nestjs/mail';
import { createTransport } from 'nodemailer';
import SMTPPool from 'nodemailer/lib/smtp-pool';
import { describe, expect, it } from 'vitest';
import type { ForeignTransportSettings } from '../../src/nest/options/foreign.js';
import { parseOptions, parseTenant, partsOf } from '../../src/nest/options/parse.js';
import { createTransport as create } from '../../src/nest/transports.js';
import { Mailbox } from '../../src/testing/mailbox.js';
import { quietEvents } from '../transport/routes.js';
import { refusal } from './options.js';

const resend = new ResendTransport({ apiKey: 'key' });
const options = (transport: object) => ({ transports: [{ name: 'main', ...transport }], queue: false as const });
const parse = (transport: object) =>
  parseOptions(options(transport) as never, 'mail').transports[0] as ForeignTransportSettings;

describe("somebody else's transport", () => {
  it('is one of @nestjs/mail, of nodemailer, or its createTransport()', () => {
    for (const transport of [resend, createTransport({}), new SMTPPool({}), { send: () => Promise.resolve({}) }]) {
      expect(parse({ transport }).foreign).toEqual({
        name: 'main',
        lanes: ['priority', 'bulk'],
        maxConnections: 5,
        timeout: 120_000,
        owned: true,
      });
    }
  });

  it('sends as many messages at once as its own pool', () => {
    expect(parse({ transport: createTransport({ pool: true, maxConnections: 9 }) }).foreign.maxConnections).toBe(9);
    expect(parse({ transport: resend, maxConnections: 3 }).foreign.maxConnections).toBe(3);
  });

  it('has the options that stand around a transport', () => {
    const settings = parse({
      transport: resend,
      region: 'eu',
      lanes: ['priority'],
      weight: 3,
      rateLimit: { messages: 2, per: '1s' },
      probe: { type: 'http', url: 'http://127.0.0.1' },
    });
    expect(settings).toMatchObject({
      foreign: { region: 'eu', lanes: ['priority'] },
      weight: 3,
      rateLimit: { messages: 2, per: 1_000 },
      probe: { type: 'http' },
    });
    const context = { mailer: 'mail', store: undefined, events: quietEvents(), onError: () => undefined };
    const { name, region, lanes, weight, server } = create(settings, context);
    expect({ name, region, lanes, weight, server }).toEqual({
      name: 'main',
      region: 'eu',
      lanes: ['priority'],
      weight: 3,
      server: { host: 'api.resend.com', port: 443 },
    });
  });

  it('may be a tenant’s, under the name that was looked up', () => {
    expect(partsOf(parseTenant('acme', { transport: resend }))).toMatchObject({ name: 'acme', owned: false });
  });

  it.each([resend, createTransport({}), new SMTPPool({})])(
    'is told where it stands as the entry itself',
    (transport) => {
      expect(refusal({ transports: [transport], queue: false })).toContain(
        "transports[0] is an object. Give one of @nestjs/mail or nodemailer in an object, { name: 'main', transport: … }.",
      );
    },
  );

  it('is closed with the application, but not that of a tenant', async () => {
    const closed: string[] = [];
    const own = (name: string) => ({ send: () => Promise.resolve({}), close: () => void closed.push(name) });
    const whole = Object.assign(new Mailbox('whole'), { close: async () => void closed.push('whole') });
    const context = { mailer: 'mail', store: undefined, events: quietEvents(), onError: () => undefined };
    const settings = [
      parse({ transport: own('main') }),
      parseTenant('acme', { transport: own('acme') }),
      parseTenant('acme', whole),
    ];
    for (const one of settings) await create(one, context).close(0);
    expect(closed).toEqual(['main']);
  });

  const GIVE = 'Give a transport of @nestjs/mail, such as new ResendTransport({ apiKey }), or one of nodemailer,';

  it.each<[string, object, string]>([
    ['no name', { name: undefined, transport: resend }, 'transports[0].name is missing. Give it a name.'],
    ['a URL', { transport: 'smtp://me:s3cret@host' }, `transports[0].transport is "smtp://***@host". ${GIVE}`],
    ['its options', { transport: { host: 'smtp.shop.test' } }, `transports[0].transport is an object. ${GIVE}`],
    ['nothing', { transport: undefined }, `transports[0].transport is missing. ${GIVE}`],
    [
      'a transport of this package',
      { transport: new Mailbox() },
      'transports[0].transport is an object. It is a transport of this package: give it as the entry itself.',
    ],
    [
      'a URL beside it',
      { transport: resend, url: 'smtp://host' },
      'transports[0].url is not known. Known here: lanes,',
    ],
    ['a time that is none', { transport: resend, timeout: 'soon' }, 'transports[0].timeout is "soon".'],
    ['no lanes', { transport: resend, lanes: [] }, 'transports[0].lanes is an empty list.'],
    [
      'a probe of its speed',
      { transport: resend, probe: 'smtp' },
      'transports[0].probe is "smtp". Give { type: \'http\'',
    ],
  ])('stops the boot with %s', (_, transport, expected) => {
    expect(refusal(options(transport))).toContain(expected);
  });
});
