import type { Fault } from '../errors.js';
import { isMailAddress } from '../message/address.js';
import { LIST_NAME } from '../message/ids.js';
import { oneLine } from '../message/text.js';
import { FEEDBACK_TYPES, type Feedback } from './feedback.js';

/** What is kept of a server's words, and of a link. */
const MAX_REPLY = 500;
const MAX_URL = 2_048;

/** A report that can be trusted to be one, or what is wrong with it. */
export function parseFeedback(given: Feedback, path: string): { feedback: Feedback } | { fault: Fault } {
  const fault = (field: string, message: string): { fault: Fault } => ({
    fault: { path: path === '' ? field : `${path}.${field}`, message },
  });
  if (typeof given !== 'object' || given === null) return { fault: { path, message: 'must be a report' } };
  const { key, type, source, address, at, match, permanent, reply, url, list } = given as Partial<Feedback>;
  if (typeof key !== 'string' || key === '') return fault('key', 'must be a string that tells the report from others');
  if (type === undefined || !FEEDBACK_TYPES.includes(type))
    return fault('type', `must be one of ${FEEDBACK_TYPES.join(', ')}`);
  if (typeof source !== 'string' || !/^[\w.-]{1,50}$/.test(source)) {
    return fault('source', 'must be a name of letters, digits, ., - and _');
  }
  if (!isMailAddress(address)) return fault('address', 'must be an address');
  if (!(at instanceof Date) || Number.isNaN(at.getTime())) return fault('at', 'must be a valid Date');
  if (typeof match !== 'object' || match === null) return fault('match', 'must be an object, if an empty one');
  for (const name of ['id', 'providerId', 'messageId'] as const) {
    if (!isTextOrNone(match[name])) return fault(`match.${name}`, 'must be text');
  }
  for (const name of ['reply', 'url', 'enhancedCode'] as const) {
    if (!isTextOrNone(given[name])) return fault(name, 'must be text');
  }
  if (permanent !== undefined && typeof permanent !== 'boolean') return fault('permanent', 'must be true or false');
  if (list !== undefined && !(typeof list === 'string' && LIST_NAME.test(list)))
    return fault('list', `must be a list's name`);
  return {
    feedback: {
      ...given,
      ...(reply === undefined ? {} : { reply: oneLine(reply).slice(0, MAX_REPLY) }),
      ...(url === undefined ? {} : { url: url.slice(0, MAX_URL) }),
    },
  };
}

function isTextOrNone(value: unknown): boolean {
  return value === undefined || typeof value === 'string';
}
