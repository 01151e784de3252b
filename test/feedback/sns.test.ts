import { beforeEach, describe, expect, it } from 'vitest';
import { MailConfigError } from '../../src/errors.js';
import type { Feedback } from '../../src/feedback/feedback.js';
import { SnsSource } from '../../src/feedback/sns.js';
import { FeedbackRefusal } from '../../src/feedback/source.js';
import { tagValue } from '../../src/message/tags.js';
import { selfSignedCertificate } from '../support/certificate.js';
import {
  CERTIFICATE,
  HOST,
  requestOf,
  snsCertificate,
  snsConfirmation,
  snsMessage,
  TOPIC,
  type Posted,
} from '../support/sns.js';

/** What was fetched, and what stands where. */
let fetched: string[];
let web: Map<string, () => Response>;
const notices: string[] = [];
let source: SnsSource;

beforeEach(() => {
  fetched = [];
  notices.length = 0;
  web = new Map([[CERTIFICATE, () => new Response(snsCertificate().cert)]]);
  source = new SnsSource({
    topics: [TOPIC, 'arn:aws-cn:sns:cn-north-1:123456789012:mail'],
    onNotice: (notice) => void notices.push(notice),
    fetch: (url, { redirect }) => {
      expect(redirect).toBe('error');
      fetched.push(url);
      const page = web.get(url);
      return page ? Promise.resolve(page()) : Promise.reject(new Error('no such host'));
    },
  });
});

const MAIL = {
  timestamp: '2026-01-02T03:04:05.678Z',
  source: 'no-reply@shop.test',
  sourceArn: 'arn:aws:ses:eu-west-1:123456789012:identity/shop.test',
  messageId: '0102018f-1111-2222-3333-444455556666-000000',
  destination: ['ann@mail.test'],
  headers: [
    { name: 'From', value: 'no-reply@shop.test' },
    { name: 'Message-ID', value: '<spring-0.3@shop.test>' },
  ],
  tags: { 'ses:configuration-set': ['news'], 'mail-id': [tagValue('spring~1-0.3')], 'campaign-id': ['spring'] },
};
const BOUNCE = {
  eventType: 'Bounce',
  mail: MAIL,
  bounce: {
    bounceType: 'Permanent',
    bounceSubType: 'General',
    timestamp: '2026-01-02T03:05:00.000Z',
    feedbackId: '0102018f-aaaa-000000',
    bouncedRecipients: [
      {
        emailAddress: 'ann@mail.test',
        action: 'failed',
        status: '5.1.1',
        diagnosticCode: 'smtp; 550 5.1.1 user unknown',
      },
    ],
  },
};
const at = (timestamp: string) => ({ timestamp });
const about = (event: object) => ({ mail: MAIL, ...event });
const read = (posted: Posted | string, headers?: Record<string, string>): Promise<Feedback[]> =>
  source.read(requestOf(posted, headers));
const told = (event: object): Promise<Feedback[]> => read(snsMessage(event));

async function refusal(reading: Promise<unknown>): Promise<FeedbackRefusal['reason']> {
  const error = await reading.then(() => new Error('It was believed')).catch((thrown: unknown) => thrown as Error);
  if (error instanceof FeedbackRefusal) return error.reason;
  throw error;
}

describe('an event of SES', () => {
  it.each(['1', '2'])('is believed with signature version %s', async (SignatureVersion) => {
    const bounced: Feedback = {
      key: `ses ${MAIL.messageId} bounced ann@mail.test 0102018f-aaaa-000000`,
      type: 'bounced',
      source: 'ses',
      address: 'ann@mail.test',
      at: new Date('2026-01-02T03:05:00.000Z'),
      match: { id: 'spring~1-0.3', providerId: MAIL.messageId, messageId: '<spring-0.3@shop.test>' },
      permanent: true,
      enhancedCode: '5.1.1',
      reply: '550 5.1.1 user unknown',
    };
    expect(await read(snsMessage(BOUNCE, { SignatureVersion }))).toEqual([bounced]);
    expect(
      await read(snsMessage(BOUNCE, { SignatureVersion, Subject: 'Amazon SES Email Event Notification' })),
    ).toEqual([bounced]);
    expect(fetched).toEqual([CERTIFICATE]);
  });

  it('may be an older notification, and of several recipients', async () => {
    const bouncedRecipients = [
      { emailAddress: 'Ann <ann@mail.test>' },
      { emailAddress: 'bob@mail.test', status: '4.2.2' },
    ];
    const bounce = { ...BOUNCE.bounce, bounceType: 'Transient', bounceSubType: 'MailboxFull', bouncedRecipients };
    const { messageId, timestamp } = MAIL;
    const [first, second] = await told({ notificationType: 'Bounce', mail: { messageId, timestamp }, bounce });
    expect(first).toMatchObject({ address: 'ann@mail.test', permanent: false, reply: 'Transient, MailboxFull' });
    expect(first).not.toHaveProperty('enhancedCode');
    expect(first!.match).toEqual({ providerId: messageId });
    expect(second).toMatchObject({ address: 'bob@mail.test', permanent: false, enhancedCode: '4.2.2' });
    expect(first!.key).not.toBe(second!.key);
  });

  const TIME = '2026-01-02T03:05:00.000Z';
  const complaint = { complainedRecipients: [{ emailAddress: 'ann@mail.test' }], feedbackId: 'f1', timestamp: TIME };
  const preferences = (subscriptionStatus: string, unsubscribeAll = false) => ({
    unsubscribeAll,
    topicSubscriptionStatus: [{ topicName: 'news', subscriptionStatus }],
  });
  it.each<[string, object, object[]]>([
    [
      'Undetermined',
      { bounce: { ...BOUNCE.bounce, bounceType: 'Undetermined' } },
      [{ type: 'bounced', permanent: false }],
    ],
    [
      'Complaint',
      { complaint: { ...complaint, complaintFeedbackType: 'abuse' } },
      [{ type: 'complained', reply: 'abuse' }],
    ],
    ['Complaint', { complaint }, [{ type: 'complained' }]],
    ['Complaint', { complaint: { ...complaint, complaintFeedbackType: 'not-spam' } }, []],
    [
      'Delivery',
      { delivery: { ...at(TIME), recipients: ['ann@mail.test'], smtpResponse: '250 ok' } },
      [{ type: 'delivered', reply: '250 ok' }],
    ],
    [
      'Reject',
      { reject: { reason: 'Bad content' } },
      [{ type: 'bounced', permanent: false, reply: 'Rejected by SES: Bad content' }],
    ],
    ['Open', { open: { ...at(TIME), ipAddress: '192.0.2.1' } }, [{ type: 'opened', at: new Date(TIME) }]],
    [
      'Click',
      { click: { ...at(TIME), link: 'https://shop.test/a' } },
      [{ type: 'clicked', url: 'https://shop.test/a' }],
    ],
    [
      'Subscription',
      {
        subscription: {
          ...at(TIME),
          newTopicPreferences: preferences('OptOut'),
          oldTopicPreferences: preferences('OptIn'),
        },
      },
      [{ type: 'unsubscribed' }],
    ],
    [
      'Subscription',
      { subscription: { ...at(TIME), newTopicPreferences: preferences('OptIn', true) } },
      [{ type: 'unsubscribed' }],
    ],
    ['Subscription', { subscription: { ...at(TIME), newTopicPreferences: preferences('OptIn') } }, []],
    ['Send', { send: {} }, []],
    ['Rendering Failure', { failure: { errorMessage: 'x' } }, []],
    ['DeliveryDelay', { deliveryDelay: { ...at(TIME), delayType: 'MailboxFull' } }, []],
  ])('%s: %o', async (kind, event, reports) => {
    const eventType = kind === 'Undetermined' ? 'Bounce' : kind;
    const given = await told(about({ eventType, ...event }));
    expect(given).toMatchObject(reports);
    expect(given).toHaveLength(reports.length);
    for (const { address, match } of given) {
      expect([address, match.id]).toEqual(['ann@mail.test', 'spring~1-0.3']);
    }
  });

  it('says nothing of who read a mail to several', async () => {
    const mail = { ...MAIL, destination: ['ann@mail.test', 'bob@mail.test'] };
    expect(await told({ eventType: 'Open', mail, open: at('2026-01-02T03:05:00.000Z') })).toEqual([]);
  });

  it('is none where SES tries a new destination', async () => {
    expect(await read(snsMessage('Successfully validated SNS topic for Amazon SES event publishing.'))).toEqual([]);
  });

  it.each<[string, unknown]>([
    ['no JSON', '{"eventType":'],
    ['no type', { mail: MAIL }],
    ['no recipient', { ...BOUNCE, bounce: { ...BOUNCE.bounce, bouncedRecipients: [{}] } }],
    ['no time', { eventType: 'Open', mail: { ...MAIL, timestamp: 'noon' }, open: {} }],
    ['other fields', { ...BOUNCE, bounce: { ...BOUNCE.bounce, bouncedRecipients: 'ann@mail.test' } }],
    ['a null', { ...BOUNCE, mail: { ...MAIL, headers: [null] } }],
  ])('with %s is refused', async (_, event) => {
    expect(await refusal(read(snsMessage(event)))).toBe('malformed');
  });
});

describe('a message of SNS', () => {
  it.each(['Message', 'MessageId', 'Timestamp', 'Subject'])(
    'with another %s than was signed is refused',
    async (name) => {
      const posted = snsMessage(BOUNCE, { Subject: 'SES' });
      const other = name === 'Timestamp' ? new Date(Date.now() - 1_000).toISOString() : `${posted[name]} `;
      expect(await refusal(read({ ...posted, [name]: other }))).toBe('forged');
    },
  );

  it('is refused with another key, hash or type', async () => {
    expect(await refusal(read(snsMessage(BOUNCE, {}, snsCertificate('another'))))).toBe('forged');
    expect(await refusal(read({ ...snsMessage(BOUNCE), SignatureVersion: '1' }))).toBe('forged');
    expect(await refusal(read({ ...snsMessage(BOUNCE), SignatureVersion: '3' }))).toBe('malformed');
    expect(await refusal(read({ ...snsMessage(BOUNCE), SignatureVersion: '__proto__' }))).toBe('malformed');
    expect(await refusal(read({ ...snsMessage(BOUNCE), Type: 'UnsubscribeConfirmation' }))).toBe('forged');
    expect(await refusal(read({ ...snsMessage(BOUNCE), Type: 'constructor' }))).toBe('malformed');
  });

  it('of another topic is refused, before anything is fetched', async () => {
    for (const TopicArn of [`${TOPIC}2`, TOPIC.replace('123456789012', '210987654321'), '__proto__']) {
      expect(await refusal(read(snsMessage(BOUNCE, { TopicArn })))).toBe('unknown-topic');
    }
    expect(fetched).toEqual([]);
  });

  it('is refused when it is old, or of a later time', async () => {
    const after = (minutes: number) => ({ Timestamp: new Date(Date.now() + minutes * 60_000).toISOString() });
    expect(await refusal(read(snsMessage(BOUNCE, after(-61))))).toBe('stale');
    expect(await refusal(read(snsMessage(BOUNCE, after(6))))).toBe('stale');
    expect(fetched).toEqual([]);
    expect(await read(snsMessage(BOUNCE, after(-59)))).toHaveLength(1);
  });

  const EVIL = [
    'http://sns.eu-west-1.amazonaws.com/a.pem',
    'https://sns.eu-west-1.amazonaws.com.evil.test/a.pem',
    'https://sns.eu-west-1.amazonaws.com@evil.test/a.pem',
    'https://user:pass@sns.eu-west-1.amazonaws.com/a.pem',
    'https://@sns.eu-west-1.amazonaws.com/a.pem',
    'https://sns.eu-west-1.amazonaws.com:8443/a.pem',
    'https://sns.eu-west-1.amazonaws.com:443/a.pem',
    'https://sns.us-east-1.amazonaws.com/a.pem',
    'https://sns.eu-west-1.amazonaws.com.cn/a.pem',
    'https://evil.test/https://sns.eu-west-1.amazonaws.com/a.pem',
    'https://evil.test\\@sns.eu-west-1.amazonaws.com/a.pem',
    'https:\\\\sns.eu-west-1.amazonaws.com/a.pem',
    ' https://sns.eu-west-1.amazonaws.com/a.pem',
    'https://sns.eu-west-1.amazonaws.com/a.pem?x=y',
    'https://sns.eu-west-1.amazonaws.com/a.pem#x',
    'https://sns.eu-west-1.amazonaws.com/a.txt',
    'https://sns.eu-west-1.amazonaws.com/folder/a.pem',
    'https://sns.eu-west-1.amazonaws.com/?Action=x.pem',
    'https://xsns.eu-west-1.amazonaws.com/a.pem',
    'file:///etc/a.pem',
    'a.pem',
  ];
  it.each(EVIL)('with its certificate at %s is refused, and nothing is fetched', async (SigningCertURL) => {
    web.set(SigningCertURL, () => new Response(snsCertificate().cert));
    expect(await refusal(read(snsMessage(BOUNCE, { SigningCertURL })))).toBe('forged');
    expect(fetched).toEqual([]);
  });

  it('is refused where the certificate is none, not valid now, or of another kind', async () => {
    for (const text of ['nothing', '', snsCertificate('old', [-30, -1]).cert, selfSignedCertificate().cert]) {
      web.set(CERTIFICATE, () => new Response(text));
      source = new SnsSource({ topics: [TOPIC], fetch: (url) => Promise.resolve(web.get(url)!()) });
      expect(await refusal(read(snsMessage(BOUNCE)))).toBe('forged');
    }
  });

  it('is to come again where the certificate cannot be had, and then is believed', async () => {
    for (const page of [
      () => new Response('', { status: 503 }),
      () => new Response(`${'x'.repeat(70_000)}`),
      () => Response.error(),
    ]) {
      web.set(CERTIFICATE, page);
      const error: unknown = await read(snsMessage(BOUNCE)).catch((thrown: unknown) => thrown);
      if (page().status !== 0) expect(error).not.toBeInstanceOf(FeedbackRefusal);
      expect(error).toBeInstanceOf(Error);
    }
    web.set(CERTIFICATE, () => new Response(snsCertificate().cert));
    expect(await read(snsMessage(BOUNCE))).toHaveLength(1);
  });

  it('does not make us fetch one certificate after the other', async () => {
    for (let number = 0; number < 40; number++) {
      const SigningCertURL = `${HOST}/${number}.pem`;
      web.set(SigningCertURL, () => new Response('', { status: 404 }));
      await read(snsMessage(BOUNCE, { SigningCertURL })).catch(() => undefined);
      await read(snsMessage(BOUNCE, { SigningCertURL })).catch(() => undefined);
    }
    expect(fetched).toHaveLength(20);
    // What SNS itself has sent meanwhile is to come again, which it does not when it is refused.
    await expect(read(snsMessage(BOUNCE))).rejects.not.toBeInstanceOf(FeedbackRefusal);
  });

  it.each<[string, Posted | string]>([
    ['no JSON', 'hello'],
    ['null', 'null'],
    ['a list', '[]'],
    ['no signature', { ...snsMessage(BOUNCE), Signature: undefined }],
    ['a number for a text', JSON.stringify({ ...snsMessage(BOUNCE), Subject: 1 })],
    ['no time', { ...snsMessage(BOUNCE), Timestamp: 'noon' }],
    ['far too much', JSON.stringify({ ...snsMessage(BOUNCE), Message: 'x'.repeat(2 ** 20) })],
  ])('that is %s is refused', async (_, posted) => {
    expect(await refusal(read(posted))).toBe('malformed');
  });

  it('without its envelope is refused: nobody has signed it', async () => {
    expect(await refusal(read(BOUNCE as never, { 'x-amz-sns-rawdelivery': 'true' }))).toBe('malformed');
  });
});

describe('a subscription', () => {
  const CONFIRM = `${HOST}/?Action=ConfirmSubscription&TopicArn=${encodeURIComponent(TOPIC)}&Token=a1b2c3`;

  it('to the topic is confirmed', async () => {
    web.set(CONFIRM, () => new Response('<ConfirmSubscriptionResponse/>'));
    expect(await read(snsConfirmation())).toEqual([]);
    expect(fetched).toEqual([CERTIFICATE, CONFIRM]);
    expect(notices).toEqual([`The subscription to the topic ${TOPIC} is confirmed`]);
  });

  it('is to be tried again when SNS does not confirm it', async () => {
    web.set(CONFIRM, () => new Response('', { status: 500 }));
    await expect(read(snsConfirmation())).rejects.toThrow('HTTP 500');
    expect(notices).toEqual([]);
  });

  it.each([
    'https://evil.test/?Action=ConfirmSubscription',
    CONFIRM.replace(':123456789012:', ':210987654321:').replace('123456789012', '210987654321'),
    CONFIRM.replace('ConfirmSubscription', 'Unsubscribe'),
    CONFIRM.replace('a1b2c3', 'other'),
    `${CONFIRM}&Endpoint=x`,
    `${CONFIRM}&Token=a1b2c3`,
    CONFIRM.replace('/?', '/path?'),
    CONFIRM.replace('https:', 'http:'),
    CONFIRM.replace('//', '//a@'),
    'https://sns.us-east-1.amazonaws.com/?' + CONFIRM.split('?')[1],
  ])('is not confirmed at %s', async (SubscribeURL) => {
    expect(await refusal(read(snsConfirmation({ SubscribeURL })))).toBe('forged');
    expect(fetched).toEqual([CERTIFICATE]);
  });

  it('to another topic is not confirmed', async () => {
    expect(await refusal(read(snsConfirmation({ TopicArn: `${TOPIC}2` })))).toBe('unknown-topic');
    expect(await refusal(read({ ...snsConfirmation(), Token: 'forged' }))).toBe('forged');
    expect(notices).toEqual([]);
  });

  it('that has ended is told', async () => {
    expect(await read(snsConfirmation({ Type: 'UnsubscribeConfirmation' }))).toEqual([]);
    expect(notices).toEqual([`The subscription to the topic ${TOPIC} has ended`]);
    expect(fetched).toEqual([CERTIFICATE]);
  });
});

it.each([[[]], [['mail']], [['arn:aws:sqs:eu-west-1:123456789012:mail']]])('the topics %j are none', (topics) => {
  expect(() => new SnsSource({ topics })).toThrow(MailConfigError);
});
