import { messageIdDomain } from './ids.js';

/**
 * The List-Id header's value (RFC 2919): the list's name in the sender's domain. Dots at the ends or in a row make no name there.
 *
 * @param sender the From header's address
 */
export function listId(list: string, sender: string): string {
  const label = list.replace(/\.{2,}/g, '.').replace(/^\.|\.$/g, '') || 'list';
  return `<${label}.${messageIdDomain(sender)}>`;
}
