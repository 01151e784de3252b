import { X509Certificate, type KeyObject } from 'node:crypto';
import { reasonOf } from '../errors.js';
import { snsUrl } from './sns-url.js';
import { FeedbackRefusal } from './source.js';

/** Node's `fetch`, or a test's. */
export type Fetch = (url: string, init: { redirect: 'error'; signal: AbortSignal }) => Promise<Response>;

/** Of a certificate; it has some 2 KB. */
const LONGEST = 64 * 1024;
/** Milliseconds. */
const WITHIN = 5_000;
const MINUTE = 60_000;
/** SNS has one certificate for a region at a time. Whoever names many wants us to fetch. */
const MOST_A_MINUTE = 20;
const MOST_KEPT = 50;

const NONE = 'Its certificate is not there, or is none';

/** The certificates with which SNS signs, each fetched once, and from nowhere but SNS. */
export class SnsCertificates {
  private readonly known = new Map<string, Promise<X509Certificate>>();
  private fetches: number[] = [];
  /** Those that are none, and until when nobody looks again. */
  private readonly none = new Map<string, number>();

  constructor(private readonly fetch: Fetch) {}

  /**
   * The key behind the address of a certificate.
   *
   * @throws FeedbackRefusal it is none of SNS in this region; Error it could not be fetched
   */
  async get(given: string, region: string, now: Date): Promise<KeyObject> {
    const url = snsUrl(given, region);
    if (!url || url.search !== '' || !/^\/[\w-]+\.pem$/.test(url.pathname)) {
      throw new FeedbackRefusal('forged', 'Its certificate is not one of SNS in the region of the topic');
    }
    const certificate = await this.load(url.href, now.getTime());
    const { validFrom, validTo, publicKey } = certificate;
    if (now.getTime() < Date.parse(validFrom) || now.getTime() > Date.parse(validTo)) {
      throw new FeedbackRefusal('forged', 'Its certificate is not valid at this time');
    }
    if (publicKey.asymmetricKeyType !== 'rsa') throw new FeedbackRefusal('forged', 'Its certificate has no RSA key');
    return publicKey;
  }

  private load(url: string, now: number): Promise<X509Certificate> {
    const known = this.known.get(url);
    if (known) return known;
    if ((this.none.get(url) ?? 0) > now) throw new FeedbackRefusal('forged', NONE);
    this.fetches = this.fetches.filter((at) => now - at < MINUTE);
    // No refusal: SNS gives up what was refused, and its own certificate may be next.
    if (this.fetches.length >= MOST_A_MINUTE) throw new Error('Too many certificates were named in the last minute');
    this.fetches.push(now);
    if (this.known.size >= MOST_KEPT) this.known.clear();
    const loading = this.download(url, now);
    this.known.set(url, loading);
    loading.catch(() => this.known.delete(url));
    return loading;
  }

  private async download(url: string, now: number): Promise<X509Certificate> {
    let response: Response;
    let text = '';
    try {
      response = await this.fetch(url, { redirect: 'error', signal: AbortSignal.timeout(WITHIN) });
      if (response.ok) text = await limited(response);
    } catch (cause) {
      throw new Error(`The certificate of SNS could not be fetched: ${reasonOf(cause)}`, { cause });
    }
    if (response.status >= 500) throw new Error(`The certificate of SNS could not be fetched: HTTP ${response.status}`);
    if (response.status === 403 || response.status === 404) {
      if (this.none.size >= MOST_KEPT) this.none.clear();
      this.none.set(url, now + MINUTE);
    }
    try {
      return new X509Certificate(text);
    } catch (cause) {
      throw new FeedbackRefusal('forged', NONE, { cause });
    }
  }
}

async function limited(response: Response): Promise<string> {
  const parts: Uint8Array[] = [];
  let length = 0;
  for await (const part of (response.body ?? []) as AsyncIterable<Uint8Array>) {
    length += part.length;
    if (length > LONGEST) throw new Error(`it is longer than ${LONGEST} bytes`);
    parts.push(part);
  }
  return Buffer.concat(parts).toString();
}
