import { MailConfigError, reasonOf, type Phase } from '../../errors.js';
import { NOT_CONNECTED, providerError, withoutSignature } from '../provider-failure.js';
import { TransportError } from '../transport.js';
import type { Exchange } from './exchange.js';

/** What the SDK throws. */
interface SdkError {
  name?: string;
  message?: string;
  code?: string;
  $metadata?: { httpStatusCode?: number };
  $response?: { headers?: Record<string, string> };
}

/** Said of a connection that was never made, by handlers that do not tell when a request leaves. */
const NO_CONNECTION = /without establishing a connection/;
/** Of the SDK, which has no name for some: it has nothing to sign with, or nowhere to send to. */
const NOT_SIGNED = /^(CredentialsProviderError|TokenProviderError|ProviderError)$/;
const NO_CREDENTIALS = /credential|region is missing/i;

/** What went wrong with one request. */
export function sesError(
  transport: string,
  thrown: unknown,
  { begun }: Pick<Exchange, 'begun'>,
  recipients: number,
): TransportError {
  if (thrown instanceof TransportError) return thrown;
  const error = (typeof thrown === 'object' && thrown !== null ? thrown : {}) as SdkError;
  const status = error.$metadata?.httpStatusCode;
  const { text, cut } = withoutSignature(reasonOf(thrown));
  const cause = cut ? {} : { cause: thrown };
  if (status !== undefined) {
    const unread = error.name === 'SyntaxError';
    const answer = {
      name: unread || error.name === undefined || /^(Unknown|UnknownError|Error)$/.test(error.name) ? '' : error.name,
      text: unread ? 'The answer is none of SES' : text === 'UnknownError' ? '' : text,
      status,
      recipients,
    };
    return providerError(transport, answer, { retryAfter: error.$response?.headers?.['retry-after'], ...cause });
  }
  // Without recipients it was no message, and asks nothing but a question.
  const unknown = recipients > 0 && begun && !NOT_CONNECTED.test(error.code ?? '') && !NO_CONNECTION.test(text);
  return new TransportError(transport, {
    phase: unknown ? 'body' : phaseOf(thrown, error),
    outcome: unknown ? 'unknown' : 'not-sent',
    scope: unknown ? 'message' : 'transport',
    permanent: false,
    reply: text,
    ...cause,
  });
}

function phaseOf(thrown: unknown, { name = '', message = '' }: SdkError): Phase {
  if (thrown instanceof MailConfigError || NOT_SIGNED.test(name) || NO_CREDENTIALS.test(message)) return 'auth';
  return 'connect';
}
