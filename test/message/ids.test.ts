import 'reflect-metadata';
import { describe, expect, it } from 'vitest';
import {
  batchId,
  CAMPAIGN_ID,
  isOwnId,
  keyedId,
  messageId,
  messageIdHeader,
  newId,
  splitMessageId,
} from '../../src/message/ids.js';
import { parseBulk } from '../../src/message/parse.js';
import { rules } from './rules.js';

describe('newId', () => {
  it.each(['p', 'm', 'c'] as const)('is %s_ and 20 letters and digits', (prefix) => {
    expect(newId(prefix)).toMatch(new RegExp(`^${prefix}_[0-9A-Za-z]{20}$`));
  });

  it('never comes twice, and draws on the whole alphabet evenly', () => {
    const ids = Array.from({ length: 10_000 }, () => newId('m'));
    expect(new Set(ids).size).toBe(ids.length);

    const counts = new Map<string, number>();
    for (const character of ids.map((id) => id.slice(2)).join('')) {
      counts.set(character, (counts.get(character) ?? 0) + 1);
    }
    expect(counts.size).toBe(62);
    // 200,000 draws give each character some 3,226; within seven standard deviations of it.
    for (const count of counts.values()) expect(Math.abs(count - 3_226)).toBeLessThan(394);
  });

  it('can be a campaign id, and a BullMQ job id with its batch number', () => {
    const id = newId('c');
    expect(id).toMatch(CAMPAIGN_ID);
    expect(batchId(id, 3, 12)).not.toContain(':');
    expect(Number.isInteger(Number(batchId(id, 3, 12)))).toBe(false);
  });
});

describe('message ids', () => {
  it.each([0, 2])('tell their batch and place, also of pass %i', (pass) => {
    const batch = batchId(newId('c'), pass, 41);
    expect(splitMessageId(messageId(batch, 249))).toEqual({ batch, index: 249 });
  });

  it('never meet those of another campaign or pass', () => {
    const ids = ['a', 'a-1', 'a-1-2', 'a_1'].flatMap((id) =>
      [0, 1, 2].flatMap((pass) => [0, 1, 2].map((n) => batchId(id, pass, n))),
    );
    expect(new Set(ids).size).toBe(ids.length);
  });

  it.each(['', 'm_abc', 'm_abc.', '.1', 'm_abc.x', 'm_abc.1.2', 'm:abc.1', 'm_abc.-1', 'm_abc.12345678'])(
    'are not %j',
    (id) => {
      expect(splitMessageId(id)).toBeUndefined();
    },
  );
});

describe('keyedId', () => {
  it('is k_ and 20 letters and digits, the same for the same key', () => {
    for (const key of ['', 'order 1', '주문 1', 'x'.repeat(200), 'p_00000000000000000000']) {
      expect(keyedId(key)).toMatch(/^k_[0-9A-Za-z]{20}$/);
      expect(keyedId(key)).toBe(keyedId(key));
    }
    // It stands in stores and Message-IDs, so it may never become another.
    expect(keyedId('order 1')).toBe('k_DI37357sVUwXbegdpO7p');
  });

  it('is another for another key, however near, and draws on the whole alphabet evenly', () => {
    const ids = Array.from({ length: 10_000 }, (_, n) => keyedId(`order ${n}`));
    expect(new Set(ids).size).toBe(ids.length);
    expect(new Set(['a', 'A', 'a ', ' a', '\u00e1', 'a\u0301'].map(keyedId)).size).toBe(6);
    const counts = new Map<string, number>();
    for (const character of ids.map((id) => id.slice(2)).join('')) {
      counts.set(character, (counts.get(character) ?? 0) + 1);
    }
    expect(counts.size).toBe(62);
    for (const count of counts.values()) expect(Math.abs(count - 3_226)).toBeLessThan(394);
  });

  it('tells nothing of its key', () => {
    const key = 'reset ann@mail.test';
    expect(keyedId(key)).not.toMatch(/ann|mail|reset/);
  });
});

describe('an id that a message has to itself', () => {
  const own = ['p_00000000000000000aZ9', keyedId('order 1')];

  it.each(own)('is %s, its batch and its message', (id) => {
    expect(isOwnId(id)).toBe(true);
    expect(messageId(id, 0)).toBe(id);
    expect(splitMessageId(id)).toEqual({ batch: id, index: 0 });
    expect(messageIdHeader(id, 'shop@mail.test')).toBe(`<${id}@mail.test>`);
    expect(id).not.toContain(':');
  });

  it.each([
    'm_00000000000000000aZ9',
    'c_00000000000000000aZ9',
    `${own[0]}.0`,
    `${own[1]}-0`,
    own[0]!.slice(0, -1),
    `${own[1]}x`,
    `K${own[1]!.slice(1)}`,
    ` ${own[0]}`,
    `${own[0]}\n`,
    '',
  ])('is not %j', (id) => {
    expect(isOwnId(id)).toBe(false);
  });

  it.each(own)('is no campaign’s: %s', (id) => {
    expect(id).not.toMatch(CAMPAIGN_ID);
    const parsing = () => parseBulk({ id, subject: 'x', text: 'x', recipients: [] }, rules());
    expect(parsing).toThrow(expect.objectContaining({ errors: [expect.objectContaining({ path: 'id' })] }));
  });

  it.each(['p_1', 'k_', 'k_2026-08', `${own[0]}x`, `${own[1]}-1`, own[0]!.slice(0, -1), 'p', 'k'])(
    'leaves campaigns the id %s',
    (id) => {
      expect(id).toMatch(CAMPAIGN_ID);
      expect(isOwnId(batchId(id, 0, 0))).toBe(false);
      expect(isOwnId(batchId(id, 1, 0))).toBe(false);
      expect(parseBulk({ id, subject: 'x', text: 'x', recipients: [] }, rules())).toMatchObject({ id });
    },
  );
});

describe('messageIdHeader', () => {
  it('ends in the sender’s domain, in ASCII', () => {
    expect(messageIdHeader('p_1', 'shop@mail.test')).toBe('<p_1@mail.test>');
    expect(messageIdHeader('p_1', '상점@우편.한국')).toBe('<p_1@xn--vo5bi2v.xn--3e0b707e>');
  });

  it('falls back to localhost for an IP literal', () => {
    expect(messageIdHeader('p_1', 'shop@[127.0.0.1]')).toBe('<p_1@localhost>');
  });
});
