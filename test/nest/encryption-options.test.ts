import { randomBytes } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { UNSEALED, type Sealer } from '../../src/store/sealing.js';
import { parse, refusal, withMain } from './options.js';

const secret = randomBytes(32);
const other = randomBytes(32).toString('base64');

function sealer(encryptionKey: unknown): Sealer {
  const { queue } = parse({ queue: { connection: 'pglite://memory', encryptionKey } });
  if (!queue) throw new Error('There is a queue');
  return queue.sealer;
}

describe('queue.encryptionKey', () => {
  it('is none by default', () => {
    expect(parse({})).toMatchObject({ queue: { sealer: UNSEALED } });
  });

  const text = secret.toString('base64');
  const FORMS: [what: string, value: unknown][] = [
    ['base64', text],
    ['base64 with a line break', `${text}\n`],
    ['base64 without its padding', text.replace('=', '')],
    ['base64url', secret.toString('base64url')],
    ['hex', secret.toString('hex')],
    ['upper-case hex', secret.toString('hex').toUpperCase()],
    ['a list', [text]],
    ['a list of which another comes first', [other, text]],
  ];
  it.each(FORMS)('may be %s, with an id that derives from the key', (_, value) => {
    const sealed = sealer(text).seal('x', 'place');
    expect(sealer(value).open(sealed, 'place')).toEqual({ state: 'open', content: Buffer.from('x') });
  });

  it('may name its key', () => {
    const named = sealer([{ id: '2026-05', key: text }, other]);
    expect(UNSEALED.open(named.seal('x', 'place'), 'place')).toEqual({ state: 'locked', keyId: '2026-05' });
    expect(named.open(sealer(other).seal('x', 'place'), 'place').state).toBe('open');
    expect(sealer({ id: '2026-05', key: text }).open(named.seal('x', 'place'), 'place').state).toBe('open');
  });

  const BAD: [what: string, value: unknown, message: RegExp][] = [
    ['an environment variable that is not set', undefined, /^The mail option queue\.encryptionKey is missing.*leave/],
    ['an empty one', '', /queue\.encryptionKey is empty.*openssl rand -base64 32/],
    ['a passphrase', 'correct horse battery staple', /a string of 28 characters.*openssl/],
    ['16 bytes', randomBytes(16).toString('hex'), /a string of 32 characters.*openssl/],
    ['33 bytes', randomBytes(33).toString('base64'), /a string of 44 characters.*openssl/],
    ['a number', 5, /queue\.encryptionKey is of type number/],
    ['a Buffer', [secret], /queue\.encryptionKey\[0\]\.id is no name/],
    ['an empty list', [], /empty list/],
    ['null', [null], /queue\.encryptionKey\[0\] is of type object/],
    ['a key without a name', { key: text }, /queue\.encryptionKey\.id is no name.*2026/],
    ['a key in place of its name', { id: text, key: 'one' }, /queue\.encryptionKey\.id is no name/],
    ['a name without a key', [{ id: 'one' }], /queue\.encryptionKey\[0\]\.key is missing/],
    [
      'two keys of one name',
      [
        { id: 'one', key: text },
        { id: 'one', key: other },
      ],
      /two keys with the id one/,
    ],
    ['something else in it', { id: 'one', key: text, cipher: 'des' }, /queue\.encryptionKey\.cipher is not known/],
  ];
  it.each(BAD)('refuses %s, without showing it', (_, encryptionKey, message) => {
    const refused = refusal(withMain({ queue: { encryptionKey } }));
    expect(refused).toMatch(message);
    for (const hidden of ['horse', text, other, secret.toString('hex')]) expect(refused).not.toContain(hidden);
  });
});
