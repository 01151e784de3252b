import type { Fault } from '../errors.js';
import { addressKey, isMailAddress, parseAddresses, type Address } from './address.js';
import type { Limits } from './limits.js';
import type { Recipient } from './message.js';
import { cleanObject, isKey, KEY_RULE } from './text.js';

const FIELDS = new Set(['to', 'context', 'group', 'idempotencyKey']);

/**
 * Checks one recipient of a campaign. It finds a fault exactly where `RecipientDto` does, at a fraction of the cost;
 * a campaign of a million takes this instead of class-validator.
 */
export function parseRecipient(
  input: unknown,
  path: string,
  limits: Limits,
  groups: Readonly<Record<string, unknown>>,
): { recipient: Recipient } | { faults: Fault[] } {
  if (typeof input !== 'object' || input === null)
    return { faults: [{ path, message: 'must be an object with a `to`' }] };
  const faults: Fault[] = [];
  for (const key in input) {
    if (!FIELDS.has(key)) faults.push({ path: `${path}.${key}`, message: 'is not a known field' });
  }
  const { to, context, group, idempotencyKey } = input as Record<string, unknown>;
  const address = parseTo(to, `${path}.to`, faults);
  const cleaned = context === undefined || context === null ? undefined : parseContext(context, path, limits, faults);
  checkKey(group, `${path}.group`, faults);
  checkKey(idempotencyKey, `${path}.idempotencyKey`, faults);
  if (typeof group === 'string' && !Object.hasOwn(groups, group.toWellFormed())) {
    faults.push({ path: `${path}.group`, message: `${JSON.stringify(group)} is not one of the campaign's groups` });
  }
  if (faults.length > 0 || !address) return { faults };
  const recipient: Recipient = { to: address };
  if (cleaned) recipient.context = cleaned;
  if (typeof group === 'string') recipient.group = group.toWellFormed();
  if (typeof idempotencyKey === 'string') recipient.idempotencyKey = idempotencyKey.toWellFormed();
  return { recipient };
}

/** What makes two entries of a campaign the same recipient. */
export function recipientKey(recipient: Recipient): string {
  return recipient.idempotencyKey === undefined ? addressKey(recipient.to.address) : `#${recipient.idempotencyKey}`;
}

function parseTo(to: unknown, path: string, faults: Fault[]): Address | undefined {
  if (isMailAddress(to)) return { name: '', address: to };
  const parsed = parseAddresses(to, path);
  faults.push(...parsed.faults);
  if (parsed.faults.length === 0 && parsed.addresses.length !== 1) {
    faults.push({ path, message: `must be one address, found ${parsed.addresses.length}` });
  }
  return parsed.addresses[0];
}

function parseContext(
  context: unknown,
  path: string,
  limits: Limits,
  faults: Fault[],
): Record<string, unknown> | undefined {
  const at = `${path}.context`;
  const cleaned = cleanObject(context);
  if ('problem' in cleaned) {
    faults.push({ path: at, message: cleaned.problem });
    return undefined;
  }
  const bytes = Buffer.byteLength(JSON.stringify(cleaned.value));
  if (bytes > limits.contextBytes) {
    faults.push({ path: at, message: `${bytes} bytes, more than limits.contextBytes (${limits.contextBytes})` });
  }
  return cleaned.value;
}

function checkKey(value: unknown, path: string, faults: Fault[]): void {
  if (value !== undefined && value !== null && !isKey(value)) faults.push({ path, message: KEY_RULE });
}
