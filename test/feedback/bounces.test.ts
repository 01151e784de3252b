import { describe, expect, it } from 'vitest';
import { isPermanentBounce, statusOf } from '../../src/feedback/mail/permanence.js';
import { readReportMail } from '../../src/feedback/mail/report-mail.js';
import { ReturnPaths } from '../../src/feedback/return-path.js';
import * as mails from '../support/bounce-mails.js';

const SECRET = Buffer.alloc(32, 'one');
const OTHER = Buffer.alloc(32, 'two');
const parts = { to: 'bounces+m_x.0.sig@shop.test', recipient: 'ann@readers.test', messageId: '<m_x.0@shop.test>' };
const read = (raw: string) => readReportMail(Buffer.from(raw));

describe('a bounce', () => {
  it.each([
    ['Postfix', mails.postfixBounce(parts), '5.1.1', true],
    ['Exim', mails.eximBounce(parts), '5.1.1', true],
    ['Exim, in plain text', mails.plainEximBounce(parts), '5.1.1', true],
    ['Exchange', mails.exchangeBounce(parts), '5.4.1', true],
    ['Gmail', mails.gmailBounce(parts), '5.2.2', false],
    ['qmail', mails.qmailBounce(parts), '5.1.1', true],
  ])('of %s is read', async (_, raw, status, permanent) => {
    const mail = await read(raw);
    if (mail.kind !== 'bounces') throw new Error(mail.kind);
    expect(mail.to).toContain(parts.to);
    expect(mail.returned).toMatchObject({ messageId: parts.messageId, returnPath: parts.to });
    expect(mail.recipients).toMatchObject([{ action: 'failed', address: parts.recipient }]);
    const [recipient] = mail.recipients;
    expect(statusOf(recipient!)).toBe(status);
    expect(isPermanentBounce(recipient!)).toBe(permanent);
    expect(recipient!.diagnostic).toMatch(/5\d\d[ -]5\.\d\.\d/);
  });

  it('that is cut off behind its report is read as far as it goes', async () => {
    const whole = mails.eximBounce(parts);
    const mail = await read(whole.slice(0, whole.indexOf('Hello.')));
    expect(mail).toMatchObject({ kind: 'bounces', returned: { messageId: parts.messageId } });
    const headless = await read(whole.slice(0, whole.indexOf('message/rfc822')));
    expect(headless).toMatchObject({ kind: 'bounces', recipients: [{ address: parts.recipient }], returned: {} });
  });

  it('is looked for in the first lines alone', async () => {
    const late = mails.qmailBounce(parts).replace('\r\n\r\nHi.', `\r\n\r\n${'\r\n'.repeat(5_000)}Hi.`);
    expect((await read(late)).kind).toBe('no-report');
  });

  it('that was forwarded has both addresses, and those of RFC 6533 and without a type', async () => {
    const raw = mails.postfixBounce(parts).replace('Final-Recipient: rfc822; ann@', 'Final-Recipient: utf-8; änn@');
    expect(await read(raw)).toMatchObject({
      recipients: [{ address: 'änn@readers.test', original: 'ann@readers.test' }],
    });
    const bare = mails.postfixBounce(parts).replace('rfc822; ann@readers.test', '<ann@readers.test>');
    expect(await read(bare)).toMatchObject({ recipients: [{ address: 'ann@readers.test' }] });
  });
});

it('a complaint is read', async () => {
  expect(await read(mails.complaint(parts))).toEqual({
    kind: 'complaint',
    type: 'abuse',
    recipients: [],
    returned: { messageId: parts.messageId, returnPath: parts.to, to: ['redacted@loop.test'] },
    at: new Date('2019-05-02T10:05:00Z'),
    to: ['abuse@shop.test'],
  });
});

it.each([
  ['somebody on holiday', mails.autoReply(parts), 'auto-reply'],
  ['a challenge', mails.autoReply(parts).replace('Auto-Submitted: auto-replied', 'Precedence: bulk'), 'auto-reply'],
  ['a letter', mails.autoReply(parts).replace('Auto-Submitted: auto-replied', 'X-Mailer: x'), 'no-report'],
  [
    'a letter that says hi',
    `To: ${parts.to}\r\n\r\nHi. This is the last time I ask.\r\n\r\n<ann@x.test>:\r\nno`,
    'no-report',
  ],
  ['nothing', '', 'no-report'],
  ['bytes', '\u0000\u0001\u00ff--', 'no-report'],
  ['too deep a tree', nested(40), 'no-report'],
])('%s is no report', async (_, raw, kind) => {
  expect((await read(raw)).kind).toBe(kind);
});

function nested(depth: number): string {
  const open = Array.from(
    { length: depth },
    (_, n) => `Content-Type: multipart/mixed; boundary=b${n}\r\n\r\n--b${n}\r\n`,
  );
  return `MIME-Version: 1.0\r\n${open.join('')}\r\nx`;
}

it.each([
  [{ status: '5.1.10' }, true],
  [{ status: '5.1.8' }, false],
  [{ status: '5.2.1' }, true],
  [{ status: '5.2.3' }, false],
  [{ status: '5.3.4' }, false],
  [{ status: '5.4.4' }, true],
  [{ status: '5.4.7' }, false],
  [{ status: '5.4.1', diagnostic: '550 5.4.1 no answer from host' }, false],
  [{ status: '5.7.1', diagnostic: '550 5.7.1 user unknown to our policy' }, false],
  [{ status: '4.4.1', diagnostic: 'connect to mx: timed out' }, false],
  [{ status: '5.0.0', diagnostic: '550 No such user here' }, true],
  [{ status: '5.0.0', diagnostic: '550 Rejected as spam' }, false],
  [{ status: '5.0.0', diagnostic: '451 user unknown, try later' }, false],
  [{ status: '5.0.0', diagnostic: '554 5.7.1 Spam' }, false],
  [{ diagnostic: 'Unrouteable mail domain "nowhere.test"' }, true],
  [{}, false],
])('%j means for the address: %s', (cause, permanent) => {
  expect(isPermanentBounce(cause)).toBe(permanent);
});

describe('a return path', () => {
  const paths = new ReturnPaths('bounces@Mail.shop.test', [SECRET]);
  const ann = 'Ann@readers.test';

  it('tells the mail and its recipient, and nothing of the recipient to others', () => {
    const path = paths.of('c_12345678901234567890~12-399.249', [ann]);
    expect(path).toMatch(/^bounces\+c_12345678901234567890~12-399\.249\.[\w-]{12}@mail\.shop\.test$/);
    expect(path.indexOf('@')).toBeLessThanOrEqual(64);
    const id = 'c_12345678901234567890~12-399.249';
    expect(paths.read(path, ['bob@readers.test', 'ann@readers.TEST'])).toEqual({ id, address: 'ann@readers.TEST' });
    expect(paths.read(path.replace('bounces', 'Bounces').replace('mail.', 'MAIL.'), [ann])).toEqual({
      id,
      address: ann,
    });
  });

  it('counts for nobody else, with no other id and no other secret', () => {
    const path = paths.of('c_x-0.1', [ann]);
    expect(paths.read(path, ['bob@readers.test'])).toBeUndefined();
    expect(paths.read(path, [])).toBeUndefined();
    expect(paths.read(path.replace('0.1', '0.2'), [ann])).toBeUndefined();
    expect(paths.read(path.replace('mail.shop', 'shop'), [ann])).toBeUndefined();
    expect(paths.read('bounces@mail.shop.test', [ann])).toBeUndefined();
    expect(new ReturnPaths('bounces@mail.shop.test', [OTHER]).read(path, [ann])).toBeUndefined();
    expect(new ReturnPaths('bounces@mail.shop.test', [OTHER, SECRET]).read(path, [ann])).toMatchObject({
      address: ann,
    });
  });

  it('of several recipients is none of theirs', () => {
    const path = paths.of('m_x.0', [ann, 'bob@readers.test']);
    expect(paths.read(path, [ann])).toEqual({ id: 'm_x.0' });
  });

  it('has no room for a long id, and leaves that out', () => {
    expect(paths.of(`${'x'.repeat(60)}-0.0`, [ann])).toBe('bounces@mail.shop.test');
  });

  it('keeps to ASCII', () => {
    expect(new ReturnPaths('bounces@bücher.test', [SECRET]).of('m_x.0', [ann])).toMatch(/@xn--bcher-kva\.test$/);
    const idn = paths.of('m_x.0', ['ann@bücher.test']);
    expect(paths.read(idn, ['ann@xn--bcher-kva.test'])).toMatchObject({ id: 'm_x.0' });
  });
});
