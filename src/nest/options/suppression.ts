import {
  PRIORITY_SUPPRESSIONS,
  type PrioritySuppression,
  type SuppressionList,
  type SuppressionSettings,
} from '../../feedback/suppression.js';
import { DEFAULTS } from './defaults.js';
import { fail, type OptionReader } from './reader.js';

/** Who gets no more mail. */
export interface SuppressionConfig {
  /** A list of the application's own. Default: one on the queue's store. */
  list?: SuppressionList;
  /**
   * With `'hard-bounces'` a priority mail to an address that bounces, or that somebody has suppressed by hand, both for all mail,
   * fails at once with the code `SUPPRESSED`. `'ignore'`: the priority lane does not ask. Default `'ignore'`.
   */
  priority?: PrioritySuppression;
}

const METHODS = ['find', 'get', 'add', 'remove', 'list'] as const satisfies (keyof SuppressionList)[];

/** @throws MailConfigError */
export function parseSuppression(parent: OptionReader): SuppressionSettings {
  const reader = parent.section('suppression');
  const list = reader.raw('list');
  const priority = reader.oneOf('priority', PRIORITY_SUPPRESSIONS, DEFAULTS.suppression.priority);
  reader.end();
  return { priority, ...(list === undefined ? {} : { list: checkList(list, reader.pathOf('list')) }) };
}

function checkList(value: unknown, path: string): SuppressionList {
  const given = (value ?? {}) as Record<string, unknown>;
  const missing = METHODS.filter((name) => typeof given[name] !== 'function');
  if (missing.length === 0) return value as SuppressionList;
  return fail(path, value, `Give a SuppressionList; this has no ${missing.map((name) => `${name}()`).join(', ')}.`);
}
