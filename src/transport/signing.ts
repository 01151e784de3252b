import { reasonOf } from '../errors.js';
import type { DkimSigner } from '../mime/dkim.js';
import type { Encoded } from '../mime/encoded.js';
import { notAsked } from './transport.js';

/**
 * The header block of a message with its DKIM signatures. Their turn on the thread pool can be long in coming, behind look-ups
 * of a DNS server that is away.
 *
 * @throws TransportError nothing was sent: there is no signature, or the signal came first
 */
export function signedHeaders(
  transport: string,
  dkim: DkimSigner,
  message: Encoded,
  signal: AbortSignal,
): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const abort = (): void => reject(notAsked(transport, reasonOf(signal.reason), { cause: signal.reason }));
    if (signal.aborted) return abort();
    signal.addEventListener('abort', abort, { once: true });
    void dkim
      .sign(message)
      .then(resolve, (cause: unknown) =>
        reject(notAsked(transport, `The DKIM signature could not be made: ${reasonOf(cause)}`, { cause })),
      )
      .finally(() => signal.removeEventListener('abort', abort));
  });
}
