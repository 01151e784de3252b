import { createHmac, timingSafeEqual } from 'node:crypto';
import { asciiDomain, domainOf } from '../message/address.js';
import { splitMessageId } from '../message/ids.js';
import { suppressionKey } from './suppression.js';

/** RFC 5321 §4.5.3.1.1. */
const MAX_LOCAL_PART = 64;
/** Characters of the signature: 72 bits. */
const SIGNATURE_LENGTH = 12;

/** What a return path that came back tells: the mail it was of, and to whom, where it was sent to one alone. */
export interface ReturnedPath {
  id: string;
  /** One of those that were asked about. Undefined: the mail had several recipients. */
  address?: string;
}

/**
 * Variable envelope return paths: each mail has an envelope sender of its own, which its bounce comes back to. It names the mail,
 * and is signed together with the recipient, so that nobody can make one up, nor turn one that they have seen against another
 * address. It shows nothing of the recipient.
 */
export class ReturnPaths {
  private readonly local: string;
  private readonly domain: string;
  private readonly pattern: RegExp;

  /**
   * @param address such as `bounces@mail.example`; its domain in ASCII, its local part at most 20 characters
   * @param secrets the first signs, and all verify
   */
  constructor(
    address: string,
    private readonly secrets: readonly [Buffer, ...Buffer[]],
  ) {
    const domain = domainOf(address);
    this.local = address.slice(0, -domain.length - 1);
    this.domain = asciiDomain(domain);
    const local = this.local.replace(/[.*+?^${}()|[\]\\]/g, '\\$&');
    this.pattern = new RegExp(`^${local}\\+(.+)\\.([A-Za-z0-9_-]{${SIGNATURE_LENGTH}})$`, 'i');
  }

  /**
   * The envelope sender of a mail. An id that a local part has no room for, as long ids of an application's own campaigns have,
   * gives the plain address; its bounces are told by their Message-ID, and suppress nobody.
   *
   * @param recipients of the envelope
   */
  of(id: string, recipients: readonly string[]): string {
    const local = `${this.local}+${id}.${sign(this.secrets[0], id, recipients)}`;
    return local.length > MAX_LOCAL_PART ? `${this.local}@${this.domain}` : `${local}@${this.domain}`;
  }

  /** Whether a mail with this id has a return path of its own. */
  fits(id: string): boolean {
    return this.of(id, []).startsWith(`${this.local}+`);
  }

  /**
   * What an address that a report came to tells; undefined for one that is none of ours.
   *
   * @param recipients those that the mail may have gone to
   */
  read(address: string, recipients: readonly string[]): ReturnedPath | undefined {
    const found = this.find(address);
    if (!found) return undefined;
    const { id, signature } = found;
    for (const secret of this.secrets) {
      const to = recipients.find((recipient) => isEqual(signature, sign(secret, id, [recipient])));
      if (to !== undefined) return { id, address: to };
      if (isEqual(signature, sign(secret, id, []))) return { id };
    }
    return undefined;
  }

  /** The id that an address claims to be of; nobody has verified it. */
  find(address: string): { id: string; signature: string } | undefined {
    const domain = domainOf(address);
    if (asciiDomain(domain.toLowerCase()) !== this.domain) return undefined;
    const [, id, signature] = this.pattern.exec(address.slice(0, -domain.length - 1)) ?? [];
    return id === undefined || signature === undefined || !splitMessageId(id) ? undefined : { id, signature };
  }
}

/** Several recipients share one return path, which cannot be each one's. */
function sign(secret: Buffer, id: string, recipients: readonly string[]): string {
  const to = recipients.length === 1 ? suppressionKey(recipients[0]!) : '';
  return createHmac('sha256', secret).update(`${id}\n${to}`).digest('base64url').slice(0, SIGNATURE_LENGTH);
}

function isEqual(one: string, other: string): boolean {
  return one.length === other.length && timingSafeEqual(Buffer.from(one), Buffer.from(other));
}
