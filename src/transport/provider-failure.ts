import { oneLine } from '../message/text.js';
import { isPermanent, providerRuleFor, scopeOf, type ProviderAnswer } from './classify.js';
import { TransportError } from './transport.js';

export interface ProviderFailureExtra {
  /** The answer's `Retry-After` header (RFC 9110 §10.2.3): seconds, or a date. */
  retryAfter?: string | undefined;
  cause?: unknown;
}

/** What an API's refusal means. Nothing of the request is told, which may hold a credential. */
export function providerError(
  transport: string,
  answer: ProviderAnswer,
  { retryAfter, cause }: ProviderFailureExtra = {},
): TransportError {
  const { kind, phase } = providerRuleFor(answer);
  const retryAt = kind === 'busy' ? retryTime(retryAfter) : undefined;
  const said = answer.name === '' ? `HTTP ${answer.status}` : answer.name;
  return new TransportError(transport, {
    phase,
    kind,
    outcome: kind === 'unknown' ? 'unknown' : 'not-sent',
    scope: scopeOf(kind, phase),
    permanent: isPermanent(kind),
    answered: true,
    reply: oneLine(answer.text === '' ? said : `${said}: ${answer.text}`),
    ...(retryAt === undefined ? {} : { retryAt }),
    ...(cause === undefined ? {} : { cause }),
  });
}

/** Nobody is asked to wait for longer. Milliseconds. */
const LONGEST = 3_600_000;

function retryTime(retryAfter: string | undefined): number | undefined {
  if (retryAfter === undefined) return undefined;
  const now = Date.now();
  const at = /^\d+$/.test(retryAfter) ? now + Number(retryAfter) * 1_000 : Date.parse(retryAfter);
  return at > now ? Math.min(at, now + LONGEST) : undefined;
}
