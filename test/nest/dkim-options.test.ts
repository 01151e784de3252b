import { createPublicKey, createSecretKey, generateKeyPairSync } from 'node:crypto';
import { inspect } from 'node:util';
import { describe, expect, it } from 'vitest';
import { SIGNED_FIELDS } from '../../src/mime/dkim.js';
import { parseTenant } from '../../src/nest/options/parse.js';
import { dkimKey, dkimResults } from '../support/dkim.js';
import { refusal, smtp, withTransport } from './options.js';

const rsa = dkimKey('mail');
const ed25519 = dkimKey('ed', 'ed25519');
const weak = generateKeyPairSync('rsa', { modulusLength: 512 }).privateKey;
const curve = generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey;
const pss = generateKeyPairSync('rsa-pss', { modulusLength: 1_024 }).privateKey;
const encrypted = rsa.privateKey.export({ type: 'pkcs8', format: 'pem', cipher: 'aes-256-cbc', passphrase: 's3cret' });

const one = { domainName: 'shop.test', keySelector: 'mail', privateKey: rsa.pem };
const two = [one, { domainName: 'shop.test', keySelector: 'ed', privateKey: ed25519.privateKey }];

const message = {
  headers: Buffer.from('From: no-reply@shop.test\r\nTo: ann@mail.test\r\nSubject: Hello\r\n\r\n'),
  body: [Buffer.from('Hello!\r\n')],
};

async function signed(dkim: object): Promise<Buffer> {
  return Buffer.concat([await smtp({ dkim }).dkim!.sign(message), ...message.body]);
}

const fieldsOf = (raw: Buffer) => / h=([^;]*);/.exec(raw.toString().replace(/\s+/g, ' '))?.[1]?.replaceAll(' ', '');

describe('dkim', () => {
  it('is none by default', () => {
    expect(smtp({})).not.toHaveProperty('dkim');
    expect(smtp({ dkim: undefined })).not.toHaveProperty('dkim');
  });

  it.each([
    ['one key as PEM', one, 1],
    ['one key as a KeyObject', { ...one, privateKey: rsa.privateKey }, 1],
    ['a PKCS #1 key', { ...one, privateKey: rsa.privateKey.export({ type: 'pkcs1', format: 'pem' }) }, 1],
    ['the hash there is', { ...one, hashAlgo: 'sha256' }, 1],
    ['several keys', { keys: two }, 2],
  ])('may be %s', async (_, dkim, signatures) => {
    expect(await dkimResults(await signed(dkim), rsa, ed25519)).toEqual(Array(signatures).fill('pass'));
  });

  it('writes a domain of other letters in ASCII', async () => {
    const raw = await signed({ ...one, domainName: 'Büro.test' });
    expect(await dkimResults(raw, { ...rsa, domainName: 'xn--bro-hoa.test' })).toEqual(['pass']);
  });

  it('signs the fields that are chosen', async () => {
    expect(fieldsOf(await signed(one))).toBe('from:subject:to');
    expect(fieldsOf(await signed({ ...one, headerFieldNames: 'Subject : From:X-Shop' }))).toBe('subject:from');
    expect(fieldsOf(await signed({ ...one, skipFields: 'TO:Date' }))).toBe('from:subject');
    expect(
      fieldsOf(await signed({ keys: two, headerFieldNames: SIGNED_FIELDS.join(':'), skipFields: 'subject' })),
    ).toBe('from:to');
  });

  it('may be a tenant’s', () => {
    expect(parseTenant('acme', { url: 'smtp://host', dkim: one })).toHaveProperty('smtp.dkim');
    const bad = { url: 'smtp://host', dkim: { ...one, privateKey: undefined } };
    expect(() => parseTenant('acme', bad)).toThrow(
      'resolveTransport("acme").dkim.privateKey is missing. Give a private',
    );
  });

  const MISSING = 'Give a private key as PEM text, or a KeyObject of node:crypto.';
  const PEM = 'Give a private key as PEM text with its line breaks, not the path of its file.';
  it.each<[string, unknown, string]>([
    ['a key alone', rsa.pem, ' is of type string. Give an object { domainName, keySelector, privateKey }.'],
    ['a list', [one], ' is a list. Give an object.'],
    ['null', null, ' is null. Give an object.'],
    ['no domain', { ...one, domainName: undefined }, '.domainName is missing. Give the domain that signs, such as'],
    ['a domain that is none', { ...one, domainName: 'shop' }, '.domainName is "shop". Give the domain that signs'],
    ['an address as domain', { ...one, domainName: 'a@shop.test' }, '.domainName is "a@shop.test". Give the domain'],
    ['a key as domain', { ...one, domainName: rsa.pem }, '.domainName is a private key. Give the domain'],
    ['no selector', { ...one, keySelector: undefined }, '.keySelector is missing. Give the name before ._domainkey'],
    ['a selector that is none', { ...one, keySelector: 'a; d=evil.test' }, '.keySelector is "a; d=evil.test". Give'],
    ['a key as selector', { ...one, keySelector: rsa.pem }, '.keySelector is a private key. Give'],
    ['no key', { ...one, privateKey: undefined }, `.privateKey is missing. ${MISSING}`],
    ['an empty key', { ...one, privateKey: '' }, `.privateKey is empty. ${PEM}`],
    ['a path', { ...one, privateKey: './dkim.pem' }, `.privateKey is a string that is no private key. ${PEM}`],
    [
      'a key in one line',
      { ...one, privateKey: rsa.pem.replaceAll('\n', '\\n') },
      `.privateKey is a string that is no`,
    ],
    ['half a key', { ...one, privateKey: rsa.pem.slice(0, 500) }, `.privateKey is a string that is no private key.`],
    ['bytes', { ...one, privateKey: Buffer.from(rsa.pem) }, `.privateKey is of type object. ${MISSING}`],
    [
      'an encrypted key',
      { ...one, privateKey: encrypted },
      '.privateKey is an encrypted key. Give createPrivateKey({ key, passphrase }) of node:crypto.',
    ],
    [
      'a public key',
      { ...one, privateKey: createPublicKey(rsa.privateKey) },
      '.privateKey is a public key. Give the private key.',
    ],
    ['a secret', { ...one, privateKey: createSecretKey(Buffer.from('s3cret')) }, '.privateKey is a secret key. Give'],
    [
      'a weak key',
      { ...one, privateKey: weak },
      '.privateKey is an RSA key of 512 bits. Give one of 2048 bits; less than 1024 no verifier accepts.',
    ],
    ['a key of another kind', { ...one, privateKey: curve }, '.privateKey is a key of type ec. Give an RSA or Ed25519'],
    ['an RSA-PSS key', { ...one, privateKey: pss }, '.privateKey is a key of type rsa-pss. Give an RSA or Ed25519'],
    ['another hash', { ...one, hashAlgo: 'sha1' }, `.hashAlgo is "sha1". Give one of 'sha256'.`],
    ['From left out', { ...one, headerFieldNames: 'To:Subject' }, '.headerFieldNames is "To:Subject". From has to be'],
    ['From skipped', { ...one, skipFields: 'from' }, '.skipFields is "from". From has to be signed (RFC 6376 §5.4).'],
    ['a list of fields', { ...one, headerFieldNames: ['From'] }, '.headerFieldNames is a list. Give a string'],
    ['fields that are none', { ...one, skipFields: 'To,Cc' }, `.skipFields is "To,Cc". Give names of header fields,`],
    ['a cache', { ...one, cacheDir: '/tmp' }, '.cacheDir is not known. Known here: domainName, hashAlgo, headerField'],
    ['no keys', { keys: [] }, '.keys is an empty list. Give a list of { domainName, keySelector, privateKey }.'],
    ['keys as text', { keys: rsa.pem }, '.keys is of type string. Give a list of'],
    ['a key as text', { keys: [one, rsa.pem] }, '.keys[1] is of type string. Give an object'],
    ['a bad one of several', { keys: [one, { ...one, privateKey: weak }] }, '.keys[1].privateKey is an RSA key of 512'],
    [
      'a typo in a key',
      { keys: [{ ...one, selector: 'x' }] },
      '.keys[0].selector is not known. Known here: domainName,',
    ],
    [
      'a key beside keys',
      { ...one, keys: two },
      '.domainName is not known. Known here: hashAlgo, headerFieldNames, keys',
    ],
  ])('stops the boot with %s, and tells no key', (_, dkim, expected) => {
    const told = refusal(withTransport({ dkim }));
    expect(told).toContain(`The mail option transports[0].dkim${expected}`);
    expect(told).not.toMatch(/s3cret|BEGIN|MII|[A-Za-z\d+/]{40}/);
  });

  it('shows no key where the settings are printed', () => {
    const settings = smtp({ dkim: one });
    expect(`${inspect(settings, { depth: 9 })}${JSON.stringify(settings)}`).not.toMatch(/BEGIN|MII/);
  });
});
