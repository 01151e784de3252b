import 'reflect-metadata';
import { describe, expect, it } from 'vitest';
import { MailConfigError } from '../../src/errors.js';
import type { BulkMailInput, MailMessageInput } from '../../src/message/message.js';
import { parseBulk, parseMessage, type MessageRules } from '../../src/message/parse.js';
import type { UnsubscribeInput, UnsubscribeWays } from '../../src/message/unsubscribe.js';
import { faultsOf, rules } from './rules.js';

const URL = 'https://shop.test/u';
const withWays = (ways: UnsubscribeWays = { url: URL }): MessageRules => ({ ...rules(), unsubscribe: ways });
const mail: MailMessageInput = { from: 'shop@shop.test', to: 'ann@mail.test', subject: 'x', text: 'x' };

async function settings(unsubscribe: unknown, ways?: UnsubscribeWays): Promise<unknown> {
  const input = { ...mail, unsubscribe: unsubscribe as UnsubscribeInput };
  const { to: _, ...shared } = input;
  const bulk: BulkMailInput = { ...shared, recipients: [] };
  const parsed = parseMessage(input, withWays(ways));
  expect(parseBulk(bulk, withWays(ways)).unsubscribe).toEqual(parsed.unsubscribe);
  return parsed.unsubscribe;
}

function faults(unsubscribe: unknown, others: object = {}, ways?: UnsubscribeWays): Promise<string[]> {
  const input = { ...mail, ...others, unsubscribe: unsubscribe as UnsubscribeInput };
  return faultsOf(() => parseMessage(input, withWays(ways)));
}

describe('what a message says of unsubscribing', () => {
  it.each<[UnsubscribeInput | undefined, UnsubscribeWays, unknown]>([
    [undefined, { url: URL }, undefined],
    [false, { url: URL }, undefined],
    [true, { url: URL }, { url: URL, oneClick: true }],
    [true, { url: URL, mailto: 'out@shop.test' }, { url: URL, mailto: 'mailto:out@shop.test', oneClick: true }],
    [true, { mailto: 'out+1@우편.한국' }, { mailto: 'mailto:out%2B1@xn--vo5bi2v.xn--3e0b707e', oneClick: false }],
    [{ oneClick: false }, { url: URL }, { url: URL, oneClick: false }],
    [
      { url: 'https://other.test/뉴스?a=b' },
      { url: URL },
      { url: 'https://other.test/%EB%89%B4%EC%8A%A4?a=b', oneClick: true },
    ],
    [{ url: 'http://localhost:3000/u' }, {}, { url: 'http://localhost:3000/u', oneClick: true }],
  ])('%j with %j is %j', async (input, ways, expected) => {
    expect(await settings(input, ways)).toEqual(expected);
  });

  it.each<[unknown, string]>([
    ['yes', 'unsubscribe: must be true, false or { url, mailto, oneClick }'],
    [{ url: 'shop.test/u' }, 'unsubscribe.url: must be a URL'],
    [{ url: 'http://shop.test/u' }, 'unsubscribe.url: must begin with https://'],
    [{ url: 'http://localhost.shop.test/u' }, 'unsubscribe.url: must begin with https://'],
    [{ url: 'javascript:alert(1)' }, 'unsubscribe.url: must begin with https://'],
    [{ url: 'https://shop.test/u\r\nBcc: all@mail.test' }, 'unsubscribe.url: must not contain white space'],
    [{ url: 'https://shop.test/u>,<https://other.test' }, 'unsubscribe.url: must not contain white space'],
    [{ url: 'https://shop.test/{{name}}' }, 'unsubscribe.url: must not contain white space'],
    [{ url: 'https://me:pass@shop.test/u' }, 'unsubscribe.url: must not contain a login'],
    [{ url: `${URL}#top` }, 'unsubscribe.url: must not contain a #fragment'],
    [{ url: `${URL}?token=1` }, 'unsubscribe.url: must not have a token'],
    [{ url: `${URL}/${'x'.repeat(300)}` }, 'unsubscribe.url: must not be longer than 300 characters'],
    [{ mailto: 'out' }, 'unsubscribe.mailto: must be an address'],
    [{ mailto: 'out@shop.test\r\nBcc: all@mail.test' }, 'unsubscribe.mailto: must be an address'],
    [{ mailto: '이순신@shop.test' }, 'unsubscribe.mailto: must have a local part in ASCII'],
    [{ oneClick: 1 }, 'unsubscribe.oneClick: must be true or false'],
    [{ link: URL }, 'unsubscribe.link: is not a known field'],
  ])('refuses %j', async (input, expected) => {
    expect(await faults(input)).toEqual([expect.stringContaining(expected)]);
  });

  it('refuses a message without a way', async () => {
    expect(await faults(true, {}, {})).toEqual([expect.stringContaining('unsubscribe: has neither url nor mailto')]);
    const byMail = { mailto: 'out@shop.test', oneClick: true };
    expect(await faults(byMail, {}, {})).toEqual([expect.stringContaining('unsubscribe.oneClick: is a POST to url')]);
  });

  it('refuses headers that say something else', async () => {
    const headers = {
      'list-unsubscribe': '<https://other.test>',
      'List-Unsubscribe-Post': 'x',
      'List-Help': '<https://a.test>',
    };
    expect(await faults(true, { headers })).toEqual([
      'headers.list-unsubscribe: is written for `unsubscribe`; leave out one of them',
      'headers.List-Unsubscribe-Post: is written for `unsubscribe`; leave out one of them',
    ]);
  });

  it('refuses a message to several, who would have one link', async () => {
    expect(await faults(true, { cc: 'bob@mail.test' })).toEqual([
      expect.stringMatching(/^unsubscribe: is for one recipient/),
    ]);
  });

  it('names the option that is missing', () => {
    const parsing = () => parseMessage({ ...mail, unsubscribe: true }, rules());
    expect(parsing).toThrow(MailConfigError);
    expect(parsing).toThrow(/the mail option unsubscribe\.secret is not set/);
    expect(parseMessage({ ...mail, unsubscribe: false }, rules())).toBeDefined();
  });
});
