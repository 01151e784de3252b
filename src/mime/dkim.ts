import { createHash, sign, type KeyObject } from 'node:crypto';
import type { Encoded } from './encoded.js';
import { relaxedBodyHash, relaxedFields, relaxedValue } from './relaxed.js';

/** A key, and where its public half is published: `<keySelector>._domainkey.<domainName>`. */
export interface DkimKey {
  /** In ASCII. */
  domainName: string;
  keySelector: string;
  /** RSA or Ed25519 (RFC 8463). */
  privateKey: KeyObject;
}

/**
 * What is signed where a message has it: RFC 6376 §5.4.1 as nodemailer lists it, and List-Unsubscribe-Post, which RFC 8058
 * §4 asks for.
 */
export const SIGNED_FIELDS: readonly string[] = [
  'from',
  'sender',
  'reply-to',
  'subject',
  'date',
  'message-id',
  'to',
  'cc',
  'mime-version',
  'content-type',
  'content-transfer-encoding',
  'content-id',
  'content-description',
  'resent-date',
  'resent-from',
  'resent-sender',
  'resent-to',
  'resent-cc',
  'resent-message-id',
  'in-reply-to',
  'references',
  'list-id',
  'list-help',
  'list-unsubscribe',
  'list-unsubscribe-post',
  'list-subscribe',
  'list-post',
  'list-owner',
  'list-archive',
  'otp-token',
];

/** RFC 5322 §2.1.1. */
const LINE = 78;

/** Signs messages with DKIM (RFC 6376), relaxed/relaxed, once with each of its keys. */
export class DkimSigner {
  /** @param fields names of header fields in lower case, `from` among them; every field of such a name is signed */
  constructor(
    private readonly keys: readonly DkimKey[],
    private readonly fields: readonly string[] = SIGNED_FIELDS,
  ) {}

  /**
   * The header block with a DKIM-Signature field for each key in front of it. The signatures are computed outside of the event
   * loop, and the hash of a body that messages share is made once.
   *
   * @throws Error the message has no From, or OpenSSL refuses the key
   */
  async sign({ headers, body }: Encoded): Promise<Buffer> {
    const bodyHash = await relaxedBodyHash(body);
    const { names, lines } = this.select(headers);
    const signatures = await Promise.all(this.keys.map((key) => signature(key, names, lines, bodyHash)));
    return Buffer.concat([Buffer.from(signatures.join('')), headers]);
  }

  private select(headers: Buffer): { names: string[]; lines: string } {
    const values = new Map<string, string[]>(this.fields.map((name) => [name, []]));
    for (const { name, value } of relaxedFields(headers)) values.get(name)?.push(value);
    const names: string[] = [];
    let lines = '';
    for (const [name, found] of values) {
      // A verifier that meets a name again takes the next field from the bottom up (§5.4.2).
      for (const value of found.reverse()) {
        names.push(name);
        lines += `${name}:${value}\r\n`;
      }
    }
    if (!names.includes('from')) throw new Error('There is no From field, which a DKIM signature has to cover');
    return { names, lines };
  }
}

/** One DKIM-Signature field with its line end. */
async function signature(key: DkimKey, names: string[], lines: string, bodyHash: string): Promise<string> {
  const { domainName, keySelector, privateKey } = key;
  const ed25519 = privateKey.asymmetricKeyType === 'ed25519';
  const tags = fold([
    'DKIM-Signature: v=1;',
    ` a=${ed25519 ? 'ed25519' : 'rsa'}-sha256;`,
    ' c=relaxed/relaxed;',
    ` d=${domainName};`,
    ' q=dns/txt;',
    ` s=${keySelector};`,
    ` bh=${bodyHash};`,
    ...names.map((name, index) => `${index > 0 ? '' : ' h='}${name}${index < names.length - 1 ? ':' : ';'}`),
  ]);
  const unsigned = `${tags}\r\n b=`;
  const data = Buffer.from(
    `${lines}dkim-signature:${relaxedValue(unsigned.slice(unsigned.indexOf(':') + 1))}`,
    'latin1',
  );
  // Ed25519 signs the hash of the data as its message (RFC 8463 §3).
  const signed = ed25519
    ? await signAside(null, createHash('sha256').update(data).digest(), privateKey)
    : await signAside('sha256', data, privateKey);
  return `${unsigned}${signed.toString('base64').replace(/.{74}(?=.)/g, '$&\r\n ')}\r\n`;
}

/** On libuv's thread pool: an RSA signature takes as long as many messages. */
function signAside(algorithm: string | null, data: Buffer, key: KeyObject): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    sign(algorithm, data, key, (error, signed) => (error ? reject(error) : resolve(signed)));
  });
}

/** Breaks lines between the pieces, where white space is free to be (RFC 6376 §3.2). */
function fold(pieces: readonly string[]): string {
  let text = '';
  let length = 0;
  for (const piece of pieces) {
    if (length + piece.length <= LINE) {
      text += piece;
      length += piece.length;
    } else {
      const folded = ` ${piece.trimStart()}`;
      text += `\r\n${folded}`;
      length = folded.length;
    }
  }
  return text;
}
