import fc from 'fast-check';
import { createSecretKey, randomBytes } from 'node:crypto';
import { expect, it } from 'vitest';
import { Sealer, UNSEALED, type SealingKey } from '../../src/store/sealing.js';

const key = (id: string): SealingKey => ({ id, key: createSecretKey(randomBytes(32)) });
const one = key('one');
const two = key('2');

const bytes = fc.uint8Array({ maxLength: 300 }).map((array) => Buffer.from(array));
const place = fc.string({ unit: 'binary', maxLength: 20 });

it('opens what was sealed in the same place, by any of its keys', () => {
  fc.assert(
    fc.property(bytes, place, (content, where) => {
      const sealed = new Sealer([one]).seal(content, where);
      for (const keys of [[one], [two, one], [one, two]]) {
        expect(new Sealer(keys).open(sealed, where)).toEqual({ state: 'open', content });
      }
      expect(new Sealer([two]).open(sealed, where)).toEqual({ state: 'locked', keyId: 'one' });
      expect(UNSEALED.open(sealed, where)).toEqual({ state: 'locked', keyId: 'one' });
    }),
  );
});

it('opens nothing in another place, with another key of the same id, or of which one bit was changed', () => {
  const sealer = new Sealer([one]);
  fc.assert(
    fc.property(bytes, place, place, fc.nat(), (content, where, other, position) => {
      const sealed = sealer.seal(content, where);
      if (where !== other) expect(sealer.open(sealed, other)).toEqual({ state: 'damaged' });
      expect(new Sealer([key('one')]).open(sealed, where)).toEqual({ state: 'damaged' });
      const changed = Buffer.from(sealed, 'base64');
      const bit = position % (changed.length * 8);
      changed[bit >> 3]! ^= 1 << (bit & 7);
      expect(sealer.open(changed.toString('base64'), where).state).not.toBe('open');
    }),
  );
});

it('opens nothing that it did not seal', () => {
  fc.assert(
    fc.property(fc.oneof(fc.string(), fc.base64String()), (text) => {
      expect(new Sealer([one]).open(text, 'place').state).not.toBe('open');
    }),
  );
});

it('seals the same content differently each time', () => {
  const sealer = new Sealer([one]);
  expect(new Set(Array.from({ length: 100 }, () => sealer.seal('x', 'place'))).size).toBe(100);
});

it('names content by its key: the same each time, and another with another key', () => {
  const name = (keys: SealingKey[], content: string) => new Sealer(keys).naming()!.update(content).digest('hex');
  expect(name([one], 'a file')).toBe(name([one, two], 'a file'));
  expect(name([two], 'a file')).not.toBe(name([one], 'a file'));
  expect(name([one], 'another')).not.toBe(name([one], 'a file'));
  expect(new Sealer([two, one]).naming(one.id)!.update('a file').digest('hex')).toBe(name([one], 'a file'));
  expect(new Sealer([two]).naming(one.id)).toBeUndefined();
});

it('writes objects as JSON without a key, which is read with one too', () => {
  const value = { to: 'ann@readers.test' };
  const sealer = new Sealer([one]);
  expect(UNSEALED.write(value, 'place')).toBe(JSON.stringify(value));
  expect(sealer.read(UNSEALED.write(value, 'place'), 'place')).toEqual(value);
  expect(sealer.read(sealer.write(value, 'place'), 'place')).toEqual(value);
  expect(UNSEALED.read(sealer.write(value, 'place'), 'place')).toBeUndefined();
});
