/**
 * The recipient at this place of a campaign, from 0.
 *
 * @param {number} n
 */
export function recipientOf(n) {
  return `reader${n}@readers.test`;
}
