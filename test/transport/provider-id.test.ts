import { describe, expect, it } from 'vitest';
import { providerIdOf } from '../../src/transport/smtp/provider-id.js';
import { startScriptedSmtp } from '../support/scripted-smtp.js';
import { send, smtpTransport } from './smtp.js';

const SES = '0102018e5f2a1b3c-4d5e6f70-8192-4a3b-9c4d-5e6f708192a3-000000';

describe('the id that Amazon SES gave', () => {
  it.each([
    ['email-smtp.eu-west-1.amazonaws.com', 'eu-west-1'],
    ['email-smtp.ap-northeast-2.amazonaws.com', 'ap-northeast-2'],
    ['email-smtp-fips.us-gov-west-1.amazonaws.com', 'us-gov-west-1'],
    ['EMAIL-SMTP.EU-WEST-1.AMAZONAWS.COM.', 'eu-west-1'],
    ['email-smtp.us-east-1.amazonaws.com', 'email'],
    ['Email-Smtp.US-East-1.amazonaws.com', 'email'],
    ['vpce-0a1b2c3d4e5f-abcdefgh.email-smtp.eu-central-1.vpce.amazonaws.com', 'eu-central-1'],
    ['vpce-0a1b2c3d4e5f-abcdefgh-us-east-1a.email-smtp.us-east-1.vpce.amazonaws.com', 'email'],
    ['inbound-smtp.eu-west-1.mail.awsapps.com', 'eu-west-1'],
    ['smtp.mail.us-east-1.awsapps.com', 'email'],
  ])('by %s has the domain of %s', (host, domain) => {
    expect(providerIdOf(`250 Ok ${SES}`, host)).toBe(`<${SES}@${domain}.amazonses.com>`);
  });

  it.each([
    'smtp.shop.test',
    'amazonaws.com',
    'email-smtp.eu-west-1.amazonaws.com.evil.test',
    'email-smtp.eu-west-1.notamazonaws.com',
    '127.0.0.1',
  ])('is not known by %s, which is none of its hosts', (host) => {
    expect(providerIdOf(`250 Ok ${SES}`, host)).toBeUndefined();
  });

  it('is in lower case', () => {
    const host = 'email-smtp.eu-west-1.amazonaws.com';
    expect(providerIdOf(`250 Ok ${SES.toUpperCase()}`, host)).toBe(`<${SES}@eu-west-1.amazonses.com>`);
  });

  it.each(['250 Ok', '250 Ok queued as 4F1A2B', '250 2.0.0 Ok: queued as 4F1A-2B', `451 Ok ${SES}`, `250 Ok ${SES} x`])(
    'is not read out of %j',
    (reply) => {
      expect(providerIdOf(reply, 'email-smtp.eu-west-1.amazonaws.com')).toBeUndefined();
    },
  );
});

describe('the id that Microsoft 365 gave', () => {
  const id = '<AM0PR01MB1234ABCD@AM0PR01MB1234.eurprd01.prod.outlook.com>';

  it('is that of its reply, whatever the host', () => {
    const reply = `250 2.0.0 OK ${id} [Hostname=AM0PR01MB1234.eurprd01.prod.outlook.com]`;
    expect(providerIdOf(reply, 'smtp.office365.com')).toBe(id);
    expect(providerIdOf(reply, 'relay.shop.test')).toBe(id);
  });

  it.each([
    '250 2.6.0 <post.1@shop.test> [InternalId=1] Queued mail for delivery',
    '250 2.0.0 OK <post.1@shop.test> [Hostname=x.prod.outlook.com]',
    '250 2.0.0 OK <a b@AM0PR01MB1234.prod.outlook.com>',
    `550 2.0.0 OK ${id}`,
  ])('is not read out of %j', (reply) => {
    expect(providerIdOf(reply, 'smtp.office365.com')).toBeUndefined();
  });
});

it.each([
  '250 2.0.0 Ok: queued as 4F1A2B3C4D',
  '250 OK id=1rABCD-000000001Xy-2Zzz',
  '250 2.0.0 OK  1700000000 a1-20020a05600c0a0100b0040a - gsmtp',
  '250 Great success',
  '250 Queued. <7b1d@mailgun.example>',
  '',
])('others do not tell one: %j', (reply) => {
  expect(providerIdOf(reply, 'smtp.provider.test')).toBeUndefined();
});

it('an acceptance has it, where there is one', async () => {
  const id = '<AM0PR01MB1234ABCD@AM0PR01MB1234.eurprd01.prod.outlook.com>';
  const server = await startScriptedSmtp({
    message: () => (server.messages.length === 1 ? `250 2.0.0 OK ${id} [Hostname=x]` : undefined),
  });
  const transport = smtpTransport(server.url);
  expect(await send(transport)).toMatchObject({ providerId: id });
  expect(await send(transport)).not.toHaveProperty('providerId');
});
