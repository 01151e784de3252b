import { reasonOf } from '../../errors.js';
import type { Ask } from './periodic-probe.js';
import type { Figures } from './thresholds.js';

/** Bytes. A status takes some hundred. */
const MAX_STATUS = 64 * 1024;

/**
 * Reads the status of a server from a URL, as the status agent answers it.
 *
 * @param url `http:` or `https:`, without credentials; redirects are not followed
 * @param token sent as a bearer token (RFC 6750 §2.1)
 */
export function statusPage(url: URL, token?: string): Ask {
  const headers = { accept: 'application/json', ...(token === undefined ? {} : { authorization: `Bearer ${token}` }) };
  return async (signal) => {
    const begun = performance.now();
    const response = await fetch(url, { headers, signal, redirect: 'error' }).catch(unreachable);
    if (response.status !== 200) {
      await response.body?.cancel();
      throw new Error(
        `The status agent answered ${response.status}${response.status === 401 ? '; see its token' : ''}`,
      );
    }
    const figures = figuresOf(await textOf(response).catch(unreachable));
    return { ...figures, latency: performance.now() - begun };
  };
}

/** `fetch failed` says nothing; its cause does. */
function unreachable(error: unknown): never {
  const cause = error instanceof TypeError && error.cause !== undefined ? error.cause : error;
  throw new Error(reasonOf(cause), { cause: error });
}

async function textOf(response: Response): Promise<string> {
  const decoder = new TextDecoder();
  let text = '';
  let bytes = 0;
  // Leaving the loop cancels the rest of the body.
  for await (const chunk of (response.body ?? []) as AsyncIterable<Uint8Array>) {
    bytes += chunk.byteLength;
    if (bytes > MAX_STATUS) throw new Error(`The status is longer than ${MAX_STATUS} bytes`);
    text += decoder.decode(chunk, { stream: true });
  }
  return text + decoder.decode();
}

/** What each figure may be. */
const RANGES = {
  load: [0, 1_000_000],
  freeMemory: [0, 100],
  freeDisk: [0, 100],
  queue: [0, Number.MAX_SAFE_INTEGER],
} as const;

/** @throws Error when it is no status */
function figuresOf(text: string): Figures {
  const status = objectOf(text);
  const figures: Figures = {};
  for (const [name, [min, max]] of Object.entries(RANGES) as [keyof typeof RANGES, readonly [number, number]][]) {
    const value = status[name];
    if (value === undefined || value === null) continue;
    if (typeof value !== 'number' || !(value >= min && value <= max)) {
      throw new Error(`The status has a ${name} that is no number from ${min} to ${max}`);
    }
    figures[name] = value;
  }
  if (Object.keys(figures).length === 0) {
    throw new Error(`The status has none of ${Object.keys(RANGES).join(', ')}`);
  }
  return figures;
}

function objectOf(text: string): Record<string, unknown> {
  try {
    const value: unknown = JSON.parse(text);
    if (typeof value === 'object' && value !== null) return value as Record<string, unknown>;
  } catch {
    // Its message would repeat what the server said.
  }
  throw new Error('The status is not a JSON object');
}
