import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { cleanJson, cleanObject, isKey, withoutAddresses } from '../../src/message/text.js';

const problemOf = (value: unknown) => {
  const cleaned = cleanJson(value);
  return 'problem' in cleaned ? cleaned.problem : undefined;
};

describe('cleanJson', () => {
  it('copies what JSON carries', () => {
    const value = { text: '안녕 👋', number: 1.5, yes: true, none: null, list: [1, [2, { three: 3 }]] };
    const cleaned = cleanJson(value);
    expect(cleaned).toMatchObject({ value });
    expect('value' in cleaned && cleaned.value).not.toBe(value);
  });

  it('sees dates and the like as JSON does', () => {
    const money = { toJSON: () => ({ amount: 5, currency: 'EUR' }) };
    expect(cleanJson({ at: new Date(0), money, gone: undefined, list: [undefined] })).toMatchObject({
      value: { at: '1970-01-01T00:00:00.000Z', money: { amount: 5, currency: 'EUR' }, list: [null] },
    });
  });

  it('replaces lone surrogates, in keys as well', () => {
    expect(cleanJson({ 'a\udc00': ['\ud83d', '👋'] })).toMatchObject({ value: { 'a\ufffd': ['\ufffd', '👋'] } });
  });

  it.each([
    ['in a string', '\0'],
    ['deep inside', { a: [{ b: 'x\0y' }] }],
    ['in a key', { a: { 'b\0': 1 } }],
    ['in what toJSON returns', { toJSON: () => '\0' }],
  ])('refuses NUL %s', (_, value) => {
    expect(problemOf(value)).toBe('contains a NUL character');
  });

  it.each([
    ['Map', new Map([['a', 1]])],
    ['Set', new Set([1])],
    ['Buffer', Buffer.from('x')],
    ['Float64Array', new Float64Array(1)],
    ['ArrayBuffer', new ArrayBuffer(1)],
    ['Promise', Promise.resolve()],
    ['RegExp', /x/],
    ['TypeError', new TypeError('x')],
    ['function', () => 1],
    ['bigint', 1n],
    ['symbol', Symbol('x')],
  ])('refuses a %s, which JSON would drop or change', (name, value) => {
    expect(problemOf({ a: [value] })).toBe(`contains a ${name}, which JSON cannot carry`);
  });

  it.each([NaN, Infinity, -Infinity])('refuses %d', (value) => {
    expect(problemOf({ a: value })).toBe(`contains ${value}, which JSON cannot carry`);
  });

  it('refuses the key __proto__', () => {
    expect(problemOf(JSON.parse('{"a":{"__proto__":{"admin":true}}}'))).toBe('contains the key __proto__');
  });

  it('refuses what is nested too deep, circles among it', () => {
    const nest = (levels: number): unknown => (levels === 0 ? 'x' : { in: nest(levels - 1) });
    expect(problemOf(nest(20))).toBeUndefined();
    expect(problemOf(nest(22))).toBe('is nested deeper than 20 levels');
    const circle: { self?: unknown } = {};
    circle.self = circle;
    expect(problemOf(circle)).toBe('is nested deeper than 20 levels');
  });
});

describe('cleanObject', () => {
  it.each([[[]], ['text'], [5], [null], [new Date()]])('refuses %j, which is no object in JSON', (value) => {
    expect(cleanObject(value)).toEqual({ problem: 'must be an object' });
  });
});

describe('isKey', () => {
  it('is a string of at most 255 characters without NUL', () => {
    expect(['', '한국', 'x'.repeat(255)].map(isKey)).toEqual([true, true, true]);
    expect(['x'.repeat(256), 'a\0', 5, undefined].map(isKey)).toEqual([false, false, false, false]);
  });
});

describe('the length that cleaning tells', () => {
  it('is never less than a sixth of the bytes of JSON', () => {
    fc.assert(
      fc.property(fc.jsonValue(), (value) => {
        const cleaned = cleanJson(value);
        if ('problem' in cleaned) return;
        expect(cleaned.length * 6).toBeGreaterThanOrEqual(Buffer.byteLength(JSON.stringify(cleaned.value)));
      }),
      { numRuns: 1_000 },
    );
  });

  it.each([[new Array<string>(1_000)], [Array.from({ length: 1_000 }, () => undefined)]])(
    'counts what becomes null in a list of nothing',
    (list) => {
      const cleaned = cleanObject({ list });
      expect('length' in cleaned && cleaned.length * 6).toBeGreaterThanOrEqual(JSON.stringify({ list }).length);
    },
  );
});

it.each([
  ['450 4.7.1 <ann@patient.test> too many recipients', '450 4.7.1 <…> too many recipients'],
  ['main at rcpt: 450 4.2.1 ann+x@patient.test: slow down', 'main at rcpt: 450 4.2.1 …: slow down'],
  ['421 "ann bee"@[192.0.2.1] wait', '421 … wait'],
  ['main at connect: connect ECONNREFUSED 192.0.2.1:587', 'main at connect: connect ECONNREFUSED 192.0.2.1:587'],
])('%s is shown without addresses', (words, shown) => expect(withoutAddresses(words)).toBe(shown));
