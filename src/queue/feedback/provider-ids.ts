import { createHash } from 'node:crypto';
import type { Change } from '../../store/records.js';
import { keys } from '../keys.js';

/** Longer ones are hashed: nobody promises how long they are. */
const MAX_LENGTH = 200;
/** What SES puts behind the id that its notifications name, to make a Message-ID of it. */
const SES_DOMAIN = /@(?:[a-z\d-]+\.)?amazonses\.com$/;

/** The key of the record that tells which message a provider calls so, however it writes that. */
export function providerKey(providerId: string): string {
  const bare = providerId
    .trim()
    .replace(/^<(.*)>$/, '$1')
    .replace(SES_DOMAIN, '');
  return keys.provider(bare.length > MAX_LENGTH ? createHash('sha256').update(bare).digest('base64url') : bare);
}

/** Remembers which message a provider calls so, for so many milliseconds. */
export function rememberProviderId(providerId: string, id: string, keptFor: number): Change {
  return { key: providerKey(providerId), fields: { id }, expiresAt: Date.now() + keptFor };
}
