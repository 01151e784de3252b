import { createPublicKey, generateKeyPairSync, type KeyObject } from 'node:crypto';
import { dkimVerify } from 'mailauth/lib/dkim/verify.js';
import type { DkimKey } from '../../src/mime/dkim.js';

/** A DKIM key of the test's own. */
export interface TestDkimKey extends DkimKey {
  pem: string;
  /** What its TXT record says. */
  record: string;
}

/** @param type default RSA with 2,048 bits */
export function dkimKey(keySelector: string, type: 'rsa' | 'ed25519' = 'rsa', domainName = 'shop.test'): TestDkimKey {
  const { privateKey } =
    type === 'rsa' ? generateKeyPairSync('rsa', { modulusLength: 2_048 }) : generateKeyPairSync('ed25519');
  return {
    domainName,
    keySelector,
    privateKey,
    pem: privateKey.export({ type: 'pkcs8', format: 'pem' }).toString(),
    record: `v=DKIM1; k=${type}; p=${publicKeyOf(privateKey).toString('base64')}`,
  };
}

/** RFC 6376 §3.6.1 and RFC 8463 §4. */
function publicKeyOf(key: KeyObject): Buffer {
  const spki = createPublicKey(key).export({ type: 'spki', format: 'der' });
  return key.asymmetricKeyType === 'ed25519' ? spki.subarray(-32) : spki;
}

/** What another implementation makes of each DKIM signature of a message: `pass`, or what is wrong with it. */
export async function dkimResults(raw: Buffer, ...keys: TestDkimKey[]): Promise<string[]> {
  const records = new Map(keys.map((key) => [`${key.keySelector}._domainkey.${key.domainName}`, key.record]));
  const { results } = await dkimVerify(raw, {
    resolver: async (name: string) => {
      const record = records.get(name);
      if (record === undefined) throw Object.assign(new Error(`There is no ${name}`), { code: 'ENOTFOUND' });
      return [[record]];
    },
  });
  return results.map(({ status }) => (status.result === 'pass' ? 'pass' : `${status.result}: ${status.comment}`));
}
