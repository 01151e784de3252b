import { oneLine } from '../message/text.js';
import { isPermanent, providerRuleFor, scopeOf, type ProviderAnswer } from './classify.js';
import { TransportError } from './transport.js';

export interface ProviderFailureExtra {
  /** The answer's `Retry-After` header (RFC 9110 §10.2.3): seconds, or a date. */
  retryAfter?: string | undefined;
  cause?: unknown;
}

/**
 * What an API's refusal means, by the table of docs/failures.md, for a transport to throw. Nothing of the request is told, which
 * may hold a credential. Never throws.
 *
 * @param transport its name
 */
export function providerError(
  transport: string,
  answer: ProviderAnswer,
  { retryAfter, cause }: ProviderFailureExtra = {},
): TransportError {
  const { name, status, recipients } = answer;
  const { text, cut } = withoutSignature(answer.text);
  const { kind, phase } = providerRuleFor({ name, status, text, ...(recipients === undefined ? {} : { recipients }) });
  const retryAt = kind === 'busy' ? retryTime(retryAfter) : undefined;
  const said = name === '' ? `HTTP ${status}` : name;
  return new TransportError(transport, {
    phase,
    kind,
    outcome: kind === 'unknown' ? 'unknown' : 'not-sent',
    scope: scopeOf(kind, phase),
    permanent: isPermanent(kind),
    answered: true,
    reply: text === '' ? said : `${said}: ${text}`,
    ...(retryAt === undefined ? {} : { retryAt }),
    ...(cause === undefined || cut ? {} : { cause }),
  });
}

/** Codes of errors that there was no connection to send over: there is no way to the server, or its certificate is no good. */
export const NOT_CONNECTED = new RegExp(
  [
    '^(ECONNREFUSED|ENOTFOUND|EAI_AGAIN|EAI_FAIL|EHOSTUNREACH|ENETUNREACH|EADDRNOTAVAIL|UND_ERR_CONNECT_TIMEOUT)$',
    'CERT|LEAF_SIGNATURE|INVALID_CA|HANDSHAKE',
    // Others of ERR_SSL_ may come after the body.
    '^ERR_SSL_(WRONG_VERSION_NUMBER|UNSUPPORTED_PROTOCOL|TLSV1_ALERT_PROTOCOL_VERSION)$',
  ].join('|'),
);

/** A signature that does not fit is answered with all that it was made of, a session's token among it. */
const SIGNED = /(The Canonical String|The String-to-Sign|Authorization ?=|Credential ?=|X-Amz-Security-Token)/i;

/** A provider's words in one line, up to where those of AWS repeat what was signed. */
export function withoutSignature(words: string): { text: string; cut: boolean } {
  const at = words.search(SIGNED);
  return { text: oneLine(at < 0 ? words : words.slice(0, at)), cut: at >= 0 };
}

/** Nobody is asked to wait for longer. Milliseconds. */
const LONGEST = 3_600_000;

function retryTime(retryAfter: string | undefined): number | undefined {
  if (retryAfter === undefined) return undefined;
  const now = Date.now();
  const at = /^\d+$/.test(retryAfter) ? now + Number(retryAfter) * 1_000 : Date.parse(retryAfter);
  return at > now ? Math.min(at, now + LONGEST) : undefined;
}
