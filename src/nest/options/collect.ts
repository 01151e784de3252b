import { MailConfigError } from '../../errors.js';
import { DEFAULTS } from './defaults.js';
import { fail, OptionReader } from './reader.js';

/** What becomes of collected mail when the work that sent it fails. */
export type OnCollectError = 'discard' | 'flush';
const ON_COLLECT_ERROR: readonly OnCollectError[] = ['discard', 'flush'];

/** @param where it was given. @throws MailConfigError */
export function checkOnCollectError(onError: unknown, where: string): void {
  if (onError === undefined || (ON_COLLECT_ERROR as readonly unknown[]).includes(onError)) return;
  throw new MailConfigError(`${where} is ${JSON.stringify(onError)}. Give 'discard' or 'flush'.`);
}

/** How bulk mail is collected, checked. */
export interface CollectSettings {
  /** Each request is a collection. */
  requests: boolean;
  /** Messages. */
  max: number;
  maxBytes: number;
  onError: OnCollectError;
}

export function parseCollect(parent: OptionReader, hasQueue: boolean): CollectSettings {
  const { collect: defaults } = DEFAULTS;
  const value = parent.raw('collect');
  if (typeof value === 'string' && value !== 'requests') {
    fail('collect', value, "Give 'requests', or an object such as { requests: true, max: 10_000 }.");
  }
  const reader = value === 'requests' ? new OptionReader({ requests: true }, 'collect') : parent.section('collect');
  const settings: CollectSettings = {
    requests: reader.boolean('requests', defaults.requests),
    max: reader.integer('max', defaults.max, 1, 1_000_000),
    maxBytes: reader.integer('maxBytes', defaults.maxBytes, 1_024, 1024 ** 3),
    onError: reader.oneOf('onError', ON_COLLECT_ERROR, defaults.onError),
  };
  reader.end();
  if (settings.requests && !hasQueue) {
    fail('collect', 'requests', 'There is no bulk lane with queue: false, and so nothing to collect.');
  }
  return settings;
}
