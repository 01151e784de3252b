import { describe, expect, it } from 'vitest';
import { batchId, CAMPAIGN_ID, messageId, messageIdHeader, newId, splitMessageId } from '../../src/message/ids.js';

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

describe('messageIdHeader', () => {
  it('ends in the sender’s domain, in ASCII', () => {
    expect(messageIdHeader('p_1', 'shop@mail.test')).toBe('<p_1@mail.test>');
    expect(messageIdHeader('p_1', '상점@우편.한국')).toBe('<p_1@xn--vo5bi2v.xn--3e0b707e>');
  });

  it('falls back to localhost for an IP literal', () => {
    expect(messageIdHeader('p_1', 'shop@[127.0.0.1]')).toBe('<p_1@localhost>');
  });
});
