import type { UnsubscribeSettings } from '../message/unsubscribe.js';
import type { UnsubscribeTokens } from './unsubscribe-token.js';

/** How the recipient of one mail unsubscribes. */
export interface UnsubscribeLink {
  /** For the mail's body: the page, or `mailto:` where there is none. */
  url: string;
  /** RFC 2369 and RFC 8058. */
  headers: [name: string, value: string][];
}

/** The mail that the link is written into. */
export interface LinkedMail {
  /** Its only recipient. */
  address: string;
  id: string;
  list?: string;
  /** Its Date, in milliseconds since the epoch. */
  date: number;
}

/** Makes the links of mails, where they are written: what is queued has neither a token nor a secret. */
export class UnsubscribeLinks {
  /** @param expiresAfter milliseconds from the mail's date */
  constructor(
    private readonly tokens: UnsubscribeTokens,
    private readonly expiresAfter: number,
  ) {}

  /** The same at every try of the same mail. */
  of({ url, mailto, oneClick }: UnsubscribeSettings, { date, ...mail }: LinkedMail): UnsubscribeLink {
    const token = this.tokens.sign({ ...mail, expiresAt: date + this.expiresAfter });
    // In the query: Fastify takes no path segment of more than 100 characters.
    const page = url === undefined ? undefined : `${url}${url.includes('?') ? '&' : '?'}token=${token}`;
    // In the subject: a local part has at most 64 octets (RFC 5321 §4.5.3.1.1), and servers that fold its case.
    const letter = mailto === undefined ? undefined : `${mailto}?subject=unsubscribe%20${token}`;
    const ways = [page, letter].filter((way) => way !== undefined);
    return {
      url: ways[0]!,
      headers: [
        ['List-Unsubscribe', ways.map((way) => `<${way}>`).join(', ')],
        ...(oneClick ? [['List-Unsubscribe-Post', 'List-Unsubscribe=One-Click'] as [string, string]] : []),
      ],
    };
  }
}
