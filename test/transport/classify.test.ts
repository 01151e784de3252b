import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { Phase } from '../../src/errors.js';
import {
  classify,
  isPermanent,
  PROVIDER_RULES,
  providerRuleFor,
  ruleFor,
  RULES,
  scopeOf,
  type Answer,
} from '../../src/transport/classify.js';
import { enhancedCodeOf } from '../../src/transport/smtp/failure.js';
import type { FailureKind } from '../../src/transport/transport.js';
import { readPage, tableRows } from '../support/snippets.js';

const KINDS = [
  'recipient-refused',
  'message-refused',
  'recipient-deferred',
  'greylisted',
  'busy',
  'down',
  'unknown',
] as const satisfies readonly FailureKind[];
const PHASES = ['queue', 'connect', 'greeting', 'tls', 'auth', 'mail', 'rcpt', 'data', 'body', 'final'] as const;

/** Of a reply as the server sends it, or of an error's code. */
function answer(text: string, phase: Phase, recipients = 1): Answer {
  const replyCode = Number(/^[45]\d\d(?=[ -])/.exec(text)?.[0] ?? NaN);
  if (Number.isNaN(replyCode)) return { phase, text, errorCode: text, recipients };
  return { phase, text, replyCode, recipients, ...enhancedCodeOf(text) };
}

const unquoted = (cell: string): string[] => [...cell.matchAll(/`([^`]+)`/g)].map(([, code = '']) => code);

describe('docs/failures.md', () => {
  const [happens = '', told = '', apis = ''] = readPage('docs/failures.md').split(
    /## Which kind it is|### Providers with an API/,
  );
  const rows = tableRows(told).flatMap(([, where = '', reply = '', from = '', kind = '']) =>
    unquoted(where).map((phase) => ({
      ...answer(unquoted(reply)[0]!, phase as Phase, where.includes('several') ? 2 : 1),
      unfinished: where.includes('unfinished'),
      from,
      kind: unquoted(kind)[0],
    })),
  );

  it('tells what happens after each kind', () => {
    expect(tableRows(happens).map(([kind = '']) => unquoted(kind)[0])).toEqual(KINDS);
  });

  it.each(rows)('has at $phase: $text ($from) → $kind', ({ kind, ...told }) => {
    expect(PHASES).toContain(told.phase);
    expect(classify(told)).toBe(kind);
  });

  const answers = tableRows(apis).map(([, name = '', status = '', text = '', , phase = '', kind = '']) => ({
    name: unquoted(name)[0] ?? '',
    status: Number(status),
    text,
    phase: unquoted(phase)[0],
    kind: unquoted(kind)[0],
  }));

  it.each(answers)('has $name $status: $text → $kind', ({ phase, kind, ...answer }) => {
    expect(providerRuleFor(answer)).toMatchObject({ phase, kind });
  });

  it('has an example of every rule for providers', () => {
    const shown = new Set(answers.map(providerRuleFor));
    expect(PROVIDER_RULES.filter((rule) => !shown.has(rule))).toEqual([]);
  });

  it('has an example of every rule', () => {
    const shown = new Set(rows.map(ruleFor));
    expect(RULES.filter((rule) => !shown.has(rule))).toEqual([]);
  });
});

/** What providers say, as they say it; addresses and ids are made up. */
const SEEN: [from: string, phase: Phase, reply: string, kind: FailureKind][] = [
  ['Gmail', 'greeting', '421 4.3.0 Temporary System Problem. Try again later', 'busy'],
  ['Gmail', 'final', '421 4.7.28 Gmail has detected an unusual rate of mail originating from your IP', 'busy'],
  ['Gmail', 'final', '421 4.7.26 This mail has been rate limited because it is unauthenticated.', 'busy'],
  ['Gmail', 'auth', '454 4.7.0 Too many login attempts, please try again later.', 'busy'],
  ['Gmail', 'auth', '535 5.7.8 Username and Password not accepted.', 'down'],
  ['Gmail', 'mail', '530 5.5.1 Authentication Required.', 'down'],
  [
    'Gmail',
    'rcpt',
    '450-4.2.1 The user you are trying to contact is receiving mail at a rate that 450-4.2.1 prevents additional messages from being delivered. 450 4.2.1 - gsmtp',
    'recipient-deferred',
  ],
  ['Gmail', 'rcpt', '452 4.5.3 Domain policy size per transaction exceeded', 'recipient-deferred'],
  ['Gmail', 'final', '451 4.3.0 Mail server temporarily rejected message.', 'busy'],
  ['Gmail', 'final', '451 4.7.24 The SPF record of the sending domain has one or more suspicious entries.', 'busy'],
  ['Gmail', 'data', '550-5.4.5 Daily SMTP relay sending limit exceeded for customer. 550 5.4.5 - gsmtp', 'busy'],
  ['Gmail', 'rcpt', '550 5.2.1 The email account that you tried to reach is disabled.', 'recipient-refused'],
  [
    'Gmail',
    'rcpt',
    "552-5.2.2 The recipient's inbox is out of storage space and inactive. 552 5.2.2 - gsmtp",
    'recipient-refused',
  ],
  ['Gmail', 'final', "552 5.2.3 Your message exceeded Google's message size limits.", 'message-refused'],
  [
    'Gmail',
    'final',
    "550 5.7.26 Unauthenticated email from shop.test is not accepted due to domain's DMARC policy.",
    'message-refused',
  ],
  [
    'Gmail',
    'final',
    '552 5.7.0 This message was blocked because its content presents a potential security issue.',
    'message-refused',
  ],
  ['Gmail', 'final', '554 5.4.6 Message exceeded 50 hops, this may indicate a mail loop.', 'message-refused'],
  ['Outlook', 'mail', '451 4.7.500 Server busy. Please try again later from [192.0.2.1]. (S77719)', 'busy'],
  ['Outlook', 'rcpt', '450 4.7.3 Organization queue quota exceeded.', 'busy'],
  ['Outlook', 'rcpt', '452 4.5.3 Recipients belong to multiple regions ATTR38', 'recipient-deferred'],
  [
    'Outlook',
    'rcpt',
    '550 5.1.10 RESOLVER.ADR.RecipientNotFound; Recipient not found by SMTP address lookup',
    'recipient-refused',
  ],
  ['Outlook', 'rcpt', '550 5.4.1 Recipient address rejected: Access denied.', 'recipient-refused'],
  ['Outlook', 'rcpt', '550 5.5.0 Requested action not taken: mailbox unavailable (S2017062302).', 'recipient-refused'],
  ['Outlook', 'mail', '550 5.7.511 Access denied, banned sender[192.0.2.1].', 'down'],
  [
    'Outlook',
    'mail',
    "550 5.7.1 Unfortunately, messages from [192.0.2.1] weren't sent. Please contact your Internet service provider since part of their network is on our block list (S3150).",
    'down',
  ],
  [
    'Exchange Online',
    'final',
    '432 4.3.2 Concurrent connections limit exceeded. Visit https://aka.ms/concurrent_sending.',
    'busy',
  ],
  ['Exchange Online', 'final', '550 5.1.8 Access denied, bad outbound sender', 'down'],
  [
    'Exchange Online',
    'final',
    '550 5.7.60 SMTP; Client does not have permissions to send as this sender',
    'message-refused',
  ],
  ['Exchange', 'mail', '452 4.3.1 Insufficient system resources', 'busy'],
  [
    'Exchange',
    'final',
    '550 5.2.3 RESOLVER.RST.RecipSizeLimit; message too large for this recipient',
    'message-refused',
  ],
  ['Yahoo', 'final', '451 4.3.2 Resources temporarily unavailable. Please try again later', 'busy'],
  ['Yahoo', 'rcpt', '450 User is receiving mail too quickly', 'recipient-deferred'],
  ['Yahoo', 'final', '554 5.7.9 Message not accepted for policy reasons.', 'message-refused'],
  [
    'Yahoo',
    'final',
    "554 delivery error: dd This user doesn't have a yahoo.com account (ann@mail.test) [0]",
    'recipient-refused',
  ],
  ['Yahoo', 'final', '552 1 Requested mail action aborted, mailbox not found', 'recipient-refused'],
  [
    'Yahoo',
    'mail',
    "553 5.7.1 [BL21] Connections will not be accepted from 192.0.2.1, because the ip is in Spamhaus's list",
    'down',
  ],
  ['SES', 'greeting', '421 Too many concurrent SMTP connections', 'busy'],
  ['SES', 'final', '454 Throttling failure: Daily message quota exceeded', 'busy'],
  ['SES', 'auth', '535 Authentication Credentials Invalid', 'down'],
  ['SES', 'mail', '530 Authentication required', 'down'],
  ['SES', 'final', '554 Message rejected: Email address is not verified.', 'down'],
  ['SES', 'final', '552 Message is too long.', 'message-refused'],
  ['SendGrid', 'rcpt', '450 too frequent connects from 192.0.2.1, please try again later.', 'busy'],
  ['SendGrid', 'rcpt', '452 Too many recipients received this hour', 'busy'],
  ['SendGrid', 'final', '550 The from address does not match a verified Sender Identity.', 'message-refused'],
  ['SendGrid', 'rcpt', '551 User not local; please try another path', 'recipient-refused'],
  ['Mailgun', 'final', '421 Domain mail.test is not allowed to send: recipient limit exceeded', 'busy'],
  [
    'Naver',
    'rcpt',
    '550 5.1.1 No such user. For more information, go to https://help.naver.com/alias/mail/newmail10.naver 4711 - nsmtp',
    'recipient-refused',
  ],
  ['Naver', 'final', '554 5.7.1 The sender address is unauthorized 4711 - nsmtp', 'message-refused'],
  ['Naver', 'final', '421 4.7.1 This email has been temporarily blocked', 'busy'],
  ['Daum', 'greeting', '421 4.4.5 CCRT 192.0.2.1: Connection refused. Server is busy(RT)', 'busy'],
  ['Daum', 'rcpt', '550 5.2.1 RACT 192.0.2.1: Mailbox is inactive: <ann@mail.test>', 'recipient-refused'],
  [
    'Daum',
    'rcpt',
    '550 5.7.1 RDENY 192.0.2.1: The receiver denied your mail. Please contact the receiver with another way.: <ann@mail.test>',
    'recipient-refused',
  ],
  ['iCloud', 'final', '421 4.7.1 Messages to ann@icloud.com deferred due to excessive volume.', 'busy'],
  ['iCloud', 'final', '451 4.7.1 Service unavailable - try again later', 'busy'],
  ['iCloud', 'rcpt', '552 5.2.2 <ann@icloud.com>: user is over quota', 'recipient-refused'],
  ['iCloud', 'final', '550 5.7.1 [CS01] Message rejected due to local policy.', 'message-refused'],
  [
    'iCloud',
    'final',
    '550 5.7.1 ann@icloud.com: You have exceeded your daily sending limit. Please try again later.',
    'busy',
  ],
  ['Postfix', 'mail', '451 4.3.0 Error: queue file write error', 'busy'],
  ['Postfix', 'mail', '452 4.3.1 Insufficient system storage', 'busy'],
  [
    'Postfix',
    'rcpt',
    '450 4.7.1 <news@shop.test>: Client host rejected: cannot find your hostname, [192.0.2.1]',
    'busy',
  ],
  ['Postfix', 'rcpt', '550 5.7.25 Client host rejected: cannot find your reverse hostname, [192.0.2.1]', 'down'],
  ['Postfix', 'rcpt', '554 5.7.1 <ann@mail.test>: Relay access denied', 'recipient-refused'],
  [
    'Postfix',
    'rcpt',
    '452 4.2.2 <ann@mail.test>: Recipient address rejected: Recipient mailbox quota exceeded',
    'recipient-deferred',
  ],
  ['Postfix', 'final', '552 5.3.4 Error: message file too big', 'message-refused'],
  ['Exim', 'mail', '452 space shortage, please try later', 'busy'],
  ['Exim', 'rcpt', '550 Unrouteable address', 'recipient-refused'],
  ['Exim', 'rcpt', '550 Sender verify failed', 'message-refused'],
  ['Exim', 'final', '552 Message size exceeds maximum permitted', 'message-refused'],
  [
    'Exim',
    'rcpt',
    '451 news@shop.test is not yet authorized to deliver mail from [192.0.2.1] to <ann@mail.test>. Please try later.',
    'greylisted',
  ],
  ['Sendmail', 'mail', '452 4.4.5 Insufficient disk space; try again later', 'busy'],
  ['Sendmail', 'mail', '451 4.1.8 Domain of sender address news@shop.test does not resolve', 'recipient-deferred'],
  ['Sendmail', 'rcpt', '452 4.3.2 Connection rate limit exceeded.', 'busy'],
  ['Sendmail', 'rcpt', '450 4.2.2 <ann@mail.test>... Mailbox Full', 'recipient-deferred'],
  [
    'milter-greylist',
    'rcpt',
    '451 4.7.1 <ann@mail.test>: Recipient address rejected: Greylisted, try again in 300 seconds',
    'greylisted',
  ],
  ['spamd', 'rcpt', '451 Temporary failure, please try again later.', 'greylisted'],
  ['qmail', 'final', '554 sorry, no mailbox here by that name. (#5.1.1)', 'recipient-refused'],
  ['qmail', 'final', '550 sorry, too many emails (#5.7.1)', 'busy'],
  ['IronPort', 'rcpt', '550 #5.1.0 Address rejected.', 'recipient-refused'],
  [
    'Mail.ru',
    'final',
    '550 spam message rejected. Please visit http://help.mail.ru/notspam-support',
    'message-refused',
  ],
  ['Migadu', 'final', '554 5.7.1 Reached address outgoing limits for news@shop.test', 'busy'],
  ['a provider', 'auth', '525 5.7.13 User account disabled', 'down'],
  ['a provider', 'rcpt', '525 5.7.13 User account disabled', 'down'],
];

describe('what providers say', () => {
  it.each(SEEN)('%s at %s: %s', (_, phase, reply, kind) => {
    expect(classify(answer(reply, phase))).toBe(kind);
  });
});

describe('any answer', () => {
  const subject = fc.tuple(fc.integer({ min: 0, max: 9 }), fc.integer({ min: 0, max: 30 })).map((of) => of.join('.'));
  const words = fc.constantFrom(...SEEN.map(([, , reply]) => reply.replace(/^\d+[ -]([\d.]+ )?/, '')));
  const answers = fc.record(
    {
      phase: fc.constantFrom(...PHASES),
      replyCode: fc.integer({ min: 400, max: 599 }),
      enhancedCode: fc.tuple(fc.constantFrom('4', '5'), subject).map((of) => of.join('.')),
      text: fc.oneof(words, fc.string()),
      errorCode: fc.constantFrom('ECONNRESET', 'EMESSAGE', 'ETLS', 'EAUTH'),
      recipients: fc.integer({ min: 1, max: 3 }),
    },
    { requiredKeys: ['phase', 'text'] },
  );
  const always = (holds: (of: Answer, kind: FailureKind) => void): void =>
    fc.assert(
      fc.property(answers, (of) => holds(of, classify(of))),
      { numRuns: 5_000 },
    );

  it('is of a kind, and permanent when it refuses', () => {
    always((_, kind) => {
      expect(KINDS).toContain(kind);
      expect(isPermanent(kind)).toBe(kind.endsWith('-refused'));
    });
  });

  it('with 4xx never refuses, and with 421 is busy', () => {
    always(({ replyCode = 0 }, kind) => {
      if (replyCode >= 400 && replyCode < 500) expect(kind).not.toMatch(/refused|unknown|down/);
      if (replyCode === 421) expect(kind).toBe('busy');
    });
  });

  it('leaves the outcome unknown only when none came after the body', () => {
    always(({ replyCode, phase }, kind) => {
      const silent = replyCode === undefined && (phase === 'body' || phase === 'final');
      expect(kind === 'unknown').toBe(silent);
    });
  });

  it('is about the transport before there is a message', () => {
    always(({ phase }, kind) => {
      const opening = ['queue', 'connect', 'greeting', 'tls', 'auth'].includes(phase);
      if (opening) expect(scopeOf(kind, phase)).toBe('transport');
      if (scopeOf(kind, phase) === 'recipient') expect(phase).toBe('rcpt');
    });
  });
});

it.each([
  ['550 <daily-limits@example.com>: Recipient address rejected: User unknown', undefined],
  ['550 No such user throttled@example.com here', undefined],
  ['550 5.7.1 <throttle@x.test>: Recipient address rejected: Access denied', '5.7.1'],
])('what an address is called does not decide: %s', (text, enhancedCode) => {
  const answer = { phase: 'rcpt', replyCode: 550, text, ...(enhancedCode ? { enhancedCode } : {}) } as const;
  expect(classify(answer)).toMatch(/-refused$/);
});

it('a message with an address on a list is the message’s own fault', () => {
  const text = '554 5.7.1 Your IP is fine; message contains a URL listed on our block list';
  expect(classify({ phase: 'final', replyCode: 554, enhancedCode: '5.7.1', text })).toBe('message-refused');
});
