import {
  createCipheriv,
  createDecipheriv,
  createHmac,
  createSecretKey,
  hkdfSync,
  randomBytes,
  type BinaryLike,
  type Hmac,
  type KeyObject,
} from 'node:crypto';

/** A secret of 32 bytes, and the name by which sealed data tells that it is the one. */
export interface SealingKey {
  id: string;
  key: KeyObject;
}

/** What was sealed; or the key that it takes is not here; or it is not what was sealed in this place. */
export type Opened = { state: 'open'; content: Buffer } | { state: 'locked'; keyId: string } | { state: 'damaged' };

const CIPHER = 'aes-256-gcm';
const VERSION = 1;
/** NIST SP 800-38D §8.2.2: random, and no more than 2^32 of them with one key (§8.3). */
const IV_BYTES = 12;
const TAG_BYTES = 16;
/** Version and length of the key id. */
const FIXED_BYTES = 2;

/**
 * Encrypts what goes into the store, with AES-256-GCM. The first key seals, and all of them open.
 *
 * Sealed data is the base64 of a version byte, the key id with its length before it, the IV, the ciphertext and the tag.
 * It is bound to its place: in another one it does not open.
 */
export class Sealer {
  private readonly current: { id: string; header: Buffer; key: KeyObject } | undefined;
  private readonly nameKeys: ReadonlyMap<string, KeyObject>;
  private readonly keys: ReadonlyMap<string, KeyObject>;

  /** Without a key nothing is sealed. */
  constructor(keys: readonly SealingKey[]) {
    const [first] = keys;
    this.keys = new Map(keys.map(({ id, key }) => [id, key]));
    this.nameKeys = new Map(keys.map(({ id, key }) => [id, nameKeyOf(key)]));
    this.current = first && {
      id: first.id,
      key: first.key,
      header: Buffer.concat([Buffer.from([VERSION, first.id.length]), Buffer.from(first.id)]),
    };
  }

  /** What is written is to be sealed. */
  get seals(): boolean {
    return this.current !== undefined;
  }

  /** Those that are here, the one that seals first. */
  get keyIds(): string[] {
    return [...this.keys.keys()];
  }

  /** @param place what it belongs to, such as its record's key */
  seal(content: Buffer | string, place: string): string {
    const { header, key } = this.withKey();
    const iv = randomBytes(IV_BYTES);
    const cipher = createCipheriv(CIPHER, key, iv, { authTagLength: TAG_BYTES });
    cipher.setAAD(Buffer.concat([header, Buffer.from(place)]));
    const sealed = [header, iv, cipher.update(content), cipher.final(), cipher.getAuthTag()];
    return Buffer.concat(sealed).toString('base64');
  }

  open(text: string, place: string): Opened {
    const sealed = Buffer.from(text, 'base64');
    const ivAt = FIXED_BYTES + (sealed[1] ?? 0);
    if (sealed[0] !== VERSION || sealed.length < ivAt + IV_BYTES + TAG_BYTES) return { state: 'damaged' };
    const header = sealed.subarray(0, ivAt);
    const keyId = header.toString('utf8', FIXED_BYTES);
    const key = this.keys.get(keyId);
    if (!key) return { state: 'locked', keyId };
    const iv = sealed.subarray(ivAt, ivAt + IV_BYTES);
    const decipher = createDecipheriv(CIPHER, key, iv, { authTagLength: TAG_BYTES });
    decipher.setAAD(Buffer.concat([header, Buffer.from(place)]));
    decipher.setAuthTag(sealed.subarray(-TAG_BYTES));
    const content = decipher.update(sealed.subarray(ivAt + IV_BYTES, -TAG_BYTES));
    try {
      decipher.final();
    } catch {
      return { state: 'damaged' };
    }
    return { state: 'open', content };
  }

  /** By which sealed data names the key that seals. */
  get keyId(): string {
    return this.withKey().id;
  }

  /**
   * Makes a name of content that is the same each time, and tells nothing of it to whoever does not have the key. Undefined
   * where that key is not here.
   */
  naming(keyId = this.keyId): Hmac | undefined {
    const key = this.nameKeys.get(keyId);
    return key && createHmac('sha256', key);
  }

  /**
   * The name of content that is at hand.
   *
   * @param keyId of one that is here; default: the one that seals
   */
  nameOf(content: Buffer, keyId = this.keyId): string {
    return this.naming(keyId)!.update(content).digest('hex');
  }

  /** A key for one purpose (RFC 5869), of 32 bytes; undefined where the one that it derives from is not here. */
  derive(keyId: string, salt: BinaryLike, purpose: string): Buffer | undefined {
    const key = this.keys.get(keyId);
    return key && Buffer.from(hkdfSync('sha256', key, salt, purpose, 32));
  }

  /** An object as text: sealed, or JSON where there is no key. */
  write(value: object, place: string): string {
    const json = JSON.stringify(value);
    return this.seals ? this.seal(json, place) : json;
  }

  /** An object of `write`; undefined for one that cannot be opened here. Written without a key, it is read with one too. */
  read(text: string, place: string): unknown {
    // Base64 has no brace.
    if (text.startsWith('{')) return JSON.parse(text);
    const opened = this.open(text, place);
    return opened.state === 'open' ? JSON.parse(opened.content.toString()) : undefined;
  }

  private withKey(): NonNullable<typeof this.current> {
    if (!this.current) throw new Error('Nothing can be sealed without a key');
    return this.current;
  }
}

function nameKeyOf(key: KeyObject): KeyObject {
  return createSecretKey(Buffer.from(hkdfSync('sha256', key, '', 'priority-mail names', 32)));
}

/** Seals nothing and opens nothing: what was sealed before is locked. */
export const UNSEALED = new Sealer([]);

/** Why something waits. */
export function lockedReason(what: string, keyId: string): string {
  return `${what} is encrypted with the key ${JSON.stringify(keyId)}, which queue.encryptionKey of this process does not have. Add it to the list behind the current one.`;
}
