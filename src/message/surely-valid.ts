import { parseAddresses } from './address.js';
import { faultsOf, momentOf } from './constraints.js';
import { parseDuration } from './duration.js';
import { LANES, URGENCIES } from './message.js';
import { cleanObject, headerFault, isLocale, isTemplateName } from './text.js';

type Check = (value: unknown) => boolean;

const isText: Check = (value) => typeof value === 'string' && !value.includes('\0');
const isMoment: Check = (value) => momentOf(value) !== undefined;
const areAddresses: Check = (value) => parseAddresses(value, '').faults.length === 0;
/** class-validator counts characters in a way of its own; of these each is one. */
const isShortAscii: Check = (value) => typeof value === 'string' && /^[ -~]{1,100}$/.test(value);

/**
 * What `MailMessageDto` asks of each field and `send()` beside it, or more. A field that is missing here is class-validator's to
 * judge.
 */
const CHECKS: Record<string, Check> = {
  from: (value) => {
    const { addresses, faults } = parseAddresses(value, '');
    return faults.length === 0 && addresses.length === 1;
  },
  replyTo: areAddresses,
  to: areAddresses,
  cc: areAddresses,
  bcc: areAddresses,
  subject: (value) => typeof value === 'string' && headerFault(value) === undefined,
  text: isText,
  html: isText,
  template: isTemplateName,
  context: (value) => !('problem' in cleanObject(value)),
  locale: isLocale,
  headers: (value) => faultsOf('areHeaders', value, '')?.length === 0,
  unsubscribe: (value) => typeof value === 'boolean',
  transport: isShortAscii,
  sendAt: isMoment,
  delay: (value) => parseDuration(value) !== undefined,
  expiresAt: isMoment,
  urgency: (value) => URGENCIES.includes(value as never),
  lane: (value) => LANES.includes(value as never),
  idempotencyKey: isShortAscii,
};
Object.setPrototypeOf(CHECKS, null);

/**
 * Whether class-validator surely finds no fault in a `send()` message, nor are there merge fields where nothing fills them in, at a
 * fraction of its cost. What this says no to may be valid all the same.
 */
export function isSurelyValid(message: object): boolean {
  for (const field in message) {
    const value = (message as Record<string, unknown>)[field];
    if (value !== undefined && CHECKS[field]?.(value) !== true) return false;
  }
  return true;
}
