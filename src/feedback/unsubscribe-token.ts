import {
  createCipheriv,
  createDecipheriv,
  createHmac,
  createSecretKey,
  hkdfSync,
  timingSafeEqual,
  type KeyObject,
} from 'node:crypto';

/** Who is to be unsubscribed from what, as a link in a mail says it. */
export interface UnsubscribeClaims {
  address: string;
  /** The message's, which tells its campaign. */
  id: string;
  /** The campaign's `list`. Undefined: all bulk mail. */
  list?: string;
  /** Milliseconds since the epoch, in whole seconds. */
  expiresAt: number;
}

/** What a token is worth. `invalid`: none of these secrets made it. */
export type UnsubscribeToken = { state: 'valid' | 'expired'; claims: UnsubscribeClaims } | { state: 'invalid' };

/** Bytes. RFC 2104 §5 allows no HMAC of fewer than half its bits. */
const TAG = 16;
const EXPIRY = 4;
/** The longest address, id and list have less than this together. */
const MAX_LENGTH = 1_000;
const VERSION = 1;

interface Keys {
  mac: KeyObject;
  cipher: KeyObject;
}

/**
 * Signs and reads the tokens of unsubscribe links: a version, and the claims, encrypted and authenticated, as base64url. Nobody
 * can read an address in an access log, or make a token for somebody else.
 *
 * The nonce is synthetic, as in RFC 5297: the HMAC-SHA256 of the claims, cut to 128 bits, which is also what authenticates them.
 * So there is no nonce that could be used twice for different claims, also not by many processes that sign with the same secret; and
 * each try of a message has the same token. What two equal tokens tell is that they say the same.
 */
export class UnsubscribeTokens {
  private readonly keys: readonly Keys[];

  /** @param secrets of at least 32 bytes each. The first signs, and all of them verify */
  constructor(secrets: readonly string[]) {
    this.keys = secrets.map(keysOf);
  }

  sign({ address, id, list = '', expiresAt }: UnsubscribeClaims): string {
    const { mac, cipher } = this.keys[0]!;
    const text = Buffer.from(`${id}\0${list}\0${address}`);
    const plain = Buffer.allocUnsafe(EXPIRY + text.length);
    plain.writeUInt32BE(Math.min(Math.floor(expiresAt / 1_000), 2 ** 32 - 1));
    text.copy(plain, EXPIRY);
    const tag = tagOf(plain, mac);
    const encrypted = createCipheriv('aes-256-ctr', cipher, tag).update(plain);
    return Buffer.concat([Buffer.of(VERSION), tag, encrypted]).toString('base64url');
  }

  /** @param now milliseconds since the epoch */
  verify(token: string, now = Date.now()): UnsubscribeToken {
    if (token.length > MAX_LENGTH) return INVALID;
    const bytes = Buffer.from(token, 'base64url');
    // One token has one spelling: the decoder passes over letters that are none, and over bits that are left.
    if (bytes.toString('base64url') !== token) return INVALID;
    if (bytes[0] !== VERSION || bytes.length <= 1 + TAG + EXPIRY) return INVALID;
    const tag = bytes.subarray(1, 1 + TAG);
    for (const { mac, cipher } of this.keys) {
      const plain = createDecipheriv('aes-256-ctr', cipher, tag).update(bytes.subarray(1 + TAG));
      if (timingSafeEqual(tagOf(plain, mac), tag)) return read(plain, now);
    }
    return INVALID;
  }
}

const INVALID: UnsubscribeToken = { state: 'invalid' };

function read(plain: Buffer, now: number): UnsubscribeToken {
  const expiresAt = plain.readUInt32BE() * 1_000;
  const [id = '', list = '', address = ''] = plain.toString('utf8', EXPIRY).split('\0');
  const claims = { address, id, expiresAt, ...(list === '' ? {} : { list }) };
  return { state: expiresAt > now ? 'valid' : 'expired', claims };
}

function tagOf(plain: Buffer, key: KeyObject): Buffer {
  return createHmac('sha256', key).update(plain).digest().subarray(0, TAG);
}

/** A secret that is also used for something else gives other keys there. */
function keysOf(secret: string): Keys {
  const derived = Buffer.from(hkdfSync('sha256', secret, '', `nestjs-priority-mail unsubscribe ${VERSION}`, 64));
  return { mac: createSecretKey(derived.subarray(0, 32)), cipher: createSecretKey(derived.subarray(32)) };
}
