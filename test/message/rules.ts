import { MailValidationError } from '../../src/errors.js';
import { DEFAULT_LIMITS, type Limits } from '../../src/message/limits.js';
import type { MessageRules } from '../../src/message/parse.js';

/** What an application with a `from` and no other options says about messages. */
export function rules(limits: Partial<Limits> = {}, allowedDir?: string): MessageRules {
  return {
    from: { name: 'Shop', address: 'no-reply@shop.test' },
    limits: { ...DEFAULT_LIMITS, ...limits },
    attachments: { readTimeout: 5_000, ...(allowedDir === undefined ? {} : { allowedDir }) },
  };
}

/** The faults a parse ended with, as `path: message`. */
export async function faultsOf(parsing: Promise<unknown> | (() => unknown)): Promise<string[]> {
  try {
    await (typeof parsing === 'function' ? parsing() : parsing);
    return [];
  } catch (error) {
    if (!(error instanceof MailValidationError)) throw error;
    return error.errors.map(({ path, message }) => `${path}: ${message}`);
  }
}
