import { createHmac, generateKeyPairSync, randomBytes, sign } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { MailConfigError } from '../../src/errors.js';
import type { Feedback } from '../../src/feedback/feedback.js';
import { FeedbackRefusal, type FeedbackRequest, type FeedbackSource } from '../../src/feedback/source.js';
import { PostmarkFeedback } from '../../src/feedback/providers/postmark.js';
import { ResendFeedback } from '../../src/feedback/providers/resend.js';
import { SendGridFeedback } from '../../src/feedback/providers/sendgrid.js';

const NOW = new Date('2026-05-01T10:00:00Z');
const SECONDS = NOW.getTime() / 1_000;
const AT = '2026-05-01T09:59:58.120Z';

type Headers = Record<string, string | undefined>;

/** A source, and how the provider asks it. */
interface Provider {
  source: FeedbackSource;
  /** The headers that vouch for a body. */
  signed: (body: Buffer, at?: number) => Headers;
  /** Something that it reports. */
  event: unknown;
}

const secret = randomBytes(24);
const resend: Provider = {
  source: new ResendFeedback({ secret: `whsec_${secret.toString('base64')}` }),
  signed(body, at = SECONDS) {
    const signature = createHmac('sha256', secret).update(`msg_1.${at}.`).update(body).digest('base64');
    return { 'svix-id': 'msg_1', 'svix-timestamp': String(at), 'svix-signature': `v1a,x v1,AAAA v1,${signature}` };
  },
  event: resendEvent('email.delivered'),
};

const { publicKey, privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
const der = publicKey.export({ format: 'der', type: 'spki' }).toString('base64');
const sendgrid: Provider = {
  source: new SendGridFeedback({ publicKey: der }),
  signed: (body, at = SECONDS) => ({
    'x-twilio-email-event-webhook-timestamp': String(at),
    'x-twilio-email-event-webhook-signature': sign(
      'sha256',
      Buffer.concat([Buffer.from(String(at)), body]),
      privateKey,
    ).toString('base64'),
  }),
  event: [{ event: 'delivered', email: 'ann@mail.test', timestamp: SECONDS, sg_event_id: 'e1', sg_message_id: 'm1' }],
};

const postmark: Provider = {
  source: new PostmarkFeedback({ username: 'hook', password: 'pässword' }),
  signed: () => ({ authorization: `Basic ${Buffer.from('hook:pässword').toString('base64')}` }),
  event: { RecordType: 'Delivery', Recipient: 'ann@mail.test', DeliveredAt: AT, MessageID: 'm1' },
};

const PROVIDERS = { resend, sendgrid, postmark };

function ask({ source, signed }: Provider, event: unknown, change: Partial<FeedbackRequest> = {}): Promise<Feedback[]> {
  const body = Buffer.from(typeof event === 'string' ? event : JSON.stringify(event));
  return source.read({ headers: signed(body), body, now: NOW, ...change });
}

async function refusal(work: Promise<unknown>): Promise<string> {
  const error = await work.then(
    () => undefined,
    (thrown: unknown) => thrown,
  );
  expect(error).toBeInstanceOf(FeedbackRefusal);
  return (error as FeedbackRefusal).reason;
}

describe.each(Object.entries(PROVIDERS))('%s', (name, provider) => {
  const { source, signed, event } = provider;
  const body = Buffer.from(JSON.stringify(event));

  it('is believed when it vouches for the request', async () => {
    expect(await ask(provider, event)).toMatchObject([
      { type: 'delivered', address: 'ann@mail.test', source: name, key: expect.stringMatching(`^${name}/.`) as string },
    ]);
  });

  it('is not believed without each of its headers, or with another in its place', async () => {
    const headers = signed(body);
    for (const one of Object.keys(headers)) {
      for (const value of [undefined, '', 'x', [...headers[one]!].reverse().join('')]) {
        const reason = await refusal(source.read({ headers: { ...headers, [one]: value }, body, now: NOW }));
        expect(reason).toBe('forged');
      }
    }
  });

  it.each(['', '{', '"text"', 'null', '42', '[[]]', '[42]', '{"type":1}', '{"RecordType":null}'])(
    'has its body %s refused when that is malformed',
    async (text) => {
      expect(await refusal(ask(provider, text))).toBe('malformed');
    },
  );
});

describe.each(Object.entries({ resend, sendgrid }))('the signature of %s', (_, provider) => {
  const body = Buffer.from(JSON.stringify(provider.event));

  it('is of this body', async () => {
    const changed = Buffer.from(body.toString().replace('ann@', 'bob@'));
    expect(await refusal(ask(provider, provider.event, { body: changed }))).toBe('forged');
  });

  it.each([-301, 301])('is of now, and not %s seconds from it', async (seconds) => {
    const headers = provider.signed(body, SECONDS + seconds);
    expect(await refusal(provider.source.read({ headers, body, now: NOW }))).toBe('stale');
  });
});

describe('a secret', () => {
  const key = `whsec_${randomBytes(24).toString('base64')}`;
  const p384 = generateKeyPairSync('ec', { namedCurve: 'P-384' }).publicKey.export({ format: 'pem', type: 'spki' });

  it.each<[string, () => FeedbackSource]>([
    ['of Resend that is empty', () => new ResendFeedback({ secret: '' })],
    ['of Resend that is not set', () => new ResendFeedback({ secret: undefined as never })],
    ['of Resend in an empty list', () => new ResendFeedback({ secret: [] })],
    ['of Resend that is none', () => new ResendFeedback({ secret: 'whsec_abc' })],
    ['of SendGrid that is empty', () => new SendGridFeedback({ publicKey: ' ' })],
    ['of SendGrid that is not set', () => new SendGridFeedback({ publicKey: undefined as never })],
    ['of SendGrid that is no key', () => new SendGridFeedback({ publicKey: 'bm9uZQ==' })],
    ['of SendGrid of another curve', () => new SendGridFeedback({ publicKey: String(p384) })],
    ['of Postmark without a password', () => new PostmarkFeedback({ username: 'hook', password: '' })],
    ['of Postmark without a header', () => new PostmarkFeedback({ header: '', secret: 's' })],
    ['of Postmark with an empty one', () => new PostmarkFeedback({ header: 'x-secret', secret: undefined as never })],
  ])('%s ends the boot', (_, make) => {
    expect(make).toThrow(MailConfigError);
  });

  it('may be one of several, or PEM', async () => {
    const both = new ResendFeedback({ secret: [key, `whsec_${secret.toString('base64')}`] });
    expect(await ask({ ...resend, source: both }, resend.event)).toHaveLength(1);
    const pem = String(publicKey.export({ format: 'pem', type: 'spki' }));
    expect(await ask({ ...sendgrid, source: new SendGridFeedback({ publicKey: pem }) }, sendgrid.event)).toHaveLength(
      1,
    );
  });

  it('of Postmark may be in a header of its own', async () => {
    const source = new PostmarkFeedback({ header: 'X-Hook-Secret', secret: 's3cret' });
    const other = { ...postmark, source, signed: () => ({ 'x-hook-secret': 's3cret' }) };
    expect(await ask(other, postmark.event)).toHaveLength(1);
    expect(await refusal(ask(other, postmark.event, { headers: { 'x-hook-secret': 's3cre' } }))).toBe('forged');
  });
});

function resendEvent(type: string, data: object = {}): object {
  return {
    type,
    created_at: AT,
    data: {
      created_at: '2026-05-01T09:00:00.000Z',
      email_id: '56761188-7520-42d8-8898-ff6fc54ce618',
      from: 'Shop <news@shop.test>',
      to: ['ann@mail.test'],
      subject: 'Hello',
      ...data,
    },
  };
}

const DIAGNOSIS = 'smtp; 550 5.1.1 The account ann@mail.test does not exist';

describe('what Resend reports', () => {
  it.each<[string, object, object | undefined]>([
    [
      'a hard bounce',
      resendEvent('email.bounced', {
        bounce: { type: 'Permanent', subType: 'General', message: 'It bounced.', diagnosticCode: [DIAGNOSIS] },
      }),
      { type: 'bounced', permanent: true, enhancedCode: '5.1.1', reply: DIAGNOSIS },
    ],
    [
      'a soft bounce',
      resendEvent('email.bounced', { bounce: { type: 'Transient', subType: 'MailboxFull', message: 'Full' } }),
      { type: 'bounced', permanent: false, reply: 'Full' },
    ],
    [
      'an address on its list',
      resendEvent('email.suppressed', { suppressed: { type: 'OnAccountSuppressionList', message: 'On the list' } }),
      { type: 'bounced', permanent: true },
    ],
    [
      'a mail that it could not send',
      resendEvent('email.failed', { failed: { reason: 'reached_daily_quota' } }),
      { type: 'bounced', permanent: false, reply: 'reached_daily_quota' },
    ],
    ['a complaint', resendEvent('email.complained'), { type: 'complained' }],
    ['an open', resendEvent('email.opened'), { type: 'opened', at: new Date(AT) }],
    [
      'a click',
      resendEvent('email.clicked', { click: { link: 'https://shop.test/1', timestamp: '2026-05-01T09:30:00Z' } }),
      { type: 'clicked', url: 'https://shop.test/1', at: new Date('2026-05-01T09:30:00Z') },
    ],
    ['a delay', resendEvent('email.delivery_delayed'), undefined],
    ['what it invents later', resendEvent('email.printed'), undefined],
  ])('is %s', async (_, event, expected) => {
    const match = { providerId: '56761188-7520-42d8-8898-ff6fc54ce618' };
    const told = { key: 'resend/msg_1', source: 'resend', address: 'ann@mail.test', match };
    expect(await ask(resend, event)).toMatchObject(expected ? [{ ...told, ...expected }] : []);
  });

  it('blames of several recipients the one it names, and nobody when it names none', async () => {
    const to = ['ann@mail.test', 'bob@mail.test'];
    const bounce = { type: 'Permanent', message: 'It bounced.', diagnosticCode: [DIAGNOSIS] };
    expect(await ask(resend, resendEvent('email.bounced', { to, bounce }))).toMatchObject([{ address: to[0] }]);
    const nobody = { ...bounce, diagnosticCode: [] };
    expect(await ask(resend, resendEvent('email.bounced', { to, bounce: nobody }))).toEqual([]);
    expect(await ask(resend, resendEvent('email.complained', { to }))).toEqual([]);
    const delivered = await ask(resend, resendEvent('email.delivered', { to }));
    expect(delivered.map(({ key }) => key)).toEqual(to.map((address) => `resend/msg_1/${address}`));
  });
});

describe('what SendGrid reports', () => {
  const common = {
    email: 'ann@mail.test',
    timestamp: SECONDS - 5,
    sg_event_id: 'ZGVsaXZlcmVk',
    sg_message_id: 'l7qc5mi0T_mCXyG5o4LAnQ.filterdrecv-6b8-1-66A-4.0',
    'smtp-id': '<p_1@shop.test>',
  };

  it.each<[string, object, object | undefined]>([
    [
      'a hard bounce',
      { event: 'bounce', type: 'bounce', status: '5.1.1', reason: '550 5.1.1 No such user' },
      { type: 'bounced', permanent: true, enhancedCode: '5.1.1', reply: '550 5.1.1 No such user' },
    ],
    ['a soft bounce', { event: 'bounce', type: 'bounce', status: '4.2.2' }, { type: 'bounced', permanent: false }],
    [
      'a block',
      { event: 'bounce', type: 'blocked', status: '5.7.1', reason: '554 5.7.1 Blocked' },
      { type: 'bounced', permanent: false },
    ],
    ['a drop', { event: 'dropped', reason: 'Bounced Address' }, { type: 'bounced', permanent: true }],
    ['a drop of spam', { event: 'dropped', reason: 'Spam Content' }, { type: 'bounced', permanent: false }],
    ['a drop of a reader who left', { event: 'dropped', reason: 'Unsubscribed Address' }, { type: 'unsubscribed' }],
    ['a drop of one who complained', { event: 'dropped', reason: 'Spam Reporting Address' }, { type: 'complained' }],
    ['a complaint', { event: 'spamreport' }, { type: 'complained' }],
    ['an open', { event: 'open' }, { type: 'opened' }],
    ['a click', { event: 'click', url: 'https://shop.test/1' }, { type: 'clicked', url: 'https://shop.test/1' }],
    ['a reader who leaves', { event: 'unsubscribe' }, { type: 'unsubscribed' }],
    ['one who leaves a group', { event: 'group_unsubscribe', asm_group_id: 1 }, { type: 'unsubscribed' }],
    ['a delay', { event: 'deferred', attempt: '2' }, undefined],
    ['a message it has taken', { event: 'processed' }, undefined],
  ])('is %s', async (_, event, expected) => {
    const told = {
      key: 'sendgrid/ZGVsaXZlcmVk',
      source: 'sendgrid',
      address: 'ann@mail.test',
      at: new Date((SECONDS - 5) * 1_000),
      match: { messageId: '<p_1@shop.test>', providerId: 'l7qc5mi0T_mCXyG5o4LAnQ' },
    };
    expect(await ask(sendgrid, [{ ...common, ...event }])).toMatchObject(expected ? [{ ...told, ...expected }] : []);
  });

  it('is some events at a time, and older ids have more parts', async () => {
    const events = [
      { ...common, event: 'delivered' },
      { ...common, event: 'open', sg_event_id: 'b', sg_message_id: '14c5d75ce93.dfd.64b469.filter0001.16648.5515.0' },
    ];
    expect((await ask(sendgrid, events)).map(({ type, match }) => [type, match.providerId])).toEqual([
      ['delivered', 'l7qc5mi0T_mCXyG5o4LAnQ'],
      ['opened', '14c5d75ce93.dfd.64b469'],
    ]);
  });

  it.each([{ timestamp: '1' }, { email: undefined }, { sg_event_id: '' }])('is refused with %o', async (change) => {
    expect(await refusal(ask(sendgrid, [{ ...common, event: 'open', ...change }]))).toBe('malformed');
  });
});

describe('what Postmark reports', () => {
  const common = { MessageID: '883953f4-6105-42a2-a16a-77a8eac79483', Metadata: { 'mail-id': 'news-0.7' } };
  const bounce = { RecordType: 'Bounce', ID: 42, Email: 'ann@mail.test', BouncedAt: '2026-05-01T05:59:58.120-04:00' };
  const reader = { Recipient: 'ann@mail.test', ReceivedAt: AT };
  const change = { RecordType: 'SubscriptionChange', Recipient: 'ann@mail.test', ChangedAt: AT };

  it.each<[string, object, object | undefined]>([
    [
      'a hard bounce',
      { ...bounce, Type: 'HardBounce', TypeCode: 1, Details: DIAGNOSIS, Inactive: true },
      { type: 'bounced', permanent: true, enhancedCode: '5.1.1', reply: DIAGNOSIS, key: 'postmark/bounced/42' },
    ],
    ['an address that is none', { ...bounce, Type: 'BadEmailAddress' }, { type: 'bounced', permanent: true }],
    ['a soft bounce', { ...bounce, Type: 'SoftBounce', Inactive: true }, { type: 'bounced', permanent: false }],
    ['a block', { ...bounce, Type: 'Blocked', Inactive: false }, { type: 'bounced', permanent: false }],
    ['what it invents later', { ...bounce, Type: 'Vanished', Inactive: true }, { type: 'bounced', permanent: true }],
    ['a reader who leaves by mail', { ...bounce, Type: 'Unsubscribe' }, { type: 'unsubscribed' }],
    ['an automatic answer', { ...bounce, Type: 'AutoResponder' }, undefined],
    ['a complaint', { ...bounce, RecordType: 'SpamComplaint', Type: 'SpamComplaint' }, { type: 'complained' }],
    ['an open', { RecordType: 'Open', ...reader }, { type: 'opened' }],
    [
      'a click',
      { RecordType: 'Click', ...reader, OriginalLink: 'https://shop.test/1' },
      { type: 'clicked', url: 'https://shop.test/1' },
    ],
    [
      'a reader who leaves',
      { ...change, Origin: 'Recipient', SuppressSending: true, SuppressionReason: 'ManualSuppression' },
      { type: 'unsubscribed' },
    ],
    ['one who is back', { ...change, Origin: 'Recipient', SuppressSending: false }, undefined],
    [
      'a bounce told once more',
      { ...change, Origin: 'Recipient', SuppressSending: true, SuppressionReason: 'HardBounce' },
      undefined,
    ],
    ['a mail that came in', { RecordType: 'Inbound' }, undefined],
  ])('is %s', async (_, record, expected) => {
    const match = { id: 'news-0.7', providerId: common.MessageID };
    const told = { source: 'postmark', address: 'ann@mail.test', at: new Date(AT), match };
    expect(await ask(postmark, { ...common, ...record })).toMatchObject(expected ? [{ ...told, ...expected }] : []);
  });

  it('has a key for each event without an id', async () => {
    const open = { RecordType: 'Open', ...common, ...reader };
    const keys = await Promise.all(
      [open, open, { ...open, ReceivedAt: '2026-05-01T10:00:00Z' }, { ...open, Recipient: 'bob@mail.test' }].map(
        async (record) => (await ask(postmark, record))[0]!.key,
      ),
    );
    expect(keys[1]).toBe(keys[0]);
    expect(new Set(keys).size).toBe(3);
  });

  it('is of a mail with an id of its own where there is no metadata', async () => {
    const [{ match } = {}] = await ask(postmark, { RecordType: 'Open', ...reader, MessageID: 'm1', Metadata: {} });
    expect(match).toEqual({ providerId: 'm1' });
  });
});
