/** Of requests, or of looks at files. */
const AT_ONCE = 16;

/** Does the work for each name, for a few at a time. */
export async function inTurns(names: readonly string[], work: (name: string) => Promise<void>): Promise<void> {
  for (let from = 0; from < names.length; from += AT_ONCE) {
    await Promise.all(names.slice(from, from + AT_ONCE).map(work));
  }
}
