/**
 * Compares what was sent with what arrived.
 *
 * @param sent recipients, each of one mail
 * @returns a line for each kind of fault; none when every mail arrived exactly once
 */
export function checkArrivals(sent: readonly string[], arrived: readonly string[]): string[] {
  const counts = new Map(sent.map((address) => [address, 0]));
  for (const address of arrived) counts.set(address, (counts.get(address) ?? 0) + 1);
  const expected = new Set(sent);
  const pick = (holds: (count: number, address: string) => boolean) =>
    [...counts].filter(([address, count]) => holds(count, address)).map(([address]) => address);
  return [
    describe(
      'mails are missing',
      pick((count) => count === 0),
    ),
    describe(
      'mails arrived more than once',
      pick((count) => count > 1),
    ),
    describe(
      'mails arrived that nobody sent',
      pick((_, address) => !expected.has(address)),
    ),
  ].filter((line) => line !== '');
}

function describe(what: string, addresses: readonly string[]): string {
  return addresses.length === 0 ? '' : `${addresses.length} ${what}, such as to ${addresses[0]}`;
}
