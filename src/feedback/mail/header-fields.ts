/** Header fields by lower-case name; of several of one name all, in order. */
export type HeaderFields = ReadonlyMap<string, readonly string[]>;

/** Of any returned headers nobody needs more. */
const MAX_LENGTH = 64 * 1024;

/** The fields up to the first empty line, unfolded. What is none is passed over. */
export function readHeaderFields(text: string): HeaderFields {
  const fields = new Map<string, string[]>();
  const head = text.slice(0, MAX_LENGTH).replace(/\r\n?/g, '\n');
  const end = head.search(/\n[ \t]*\n/);
  const unfolded = (end < 0 ? head : head.slice(0, end)).replace(/\n[ \t]+/g, ' ');
  for (const line of unfolded.split('\n')) {
    const [, name, value] = /^([!-9;-~]+)[ \t]*:(.*)$/.exec(line) ?? [];
    if (name === undefined || value === undefined) continue;
    const key = name.toLowerCase();
    const known = fields.get(key);
    if (known) known.push(value.trim());
    else fields.set(key, [value.trim()]);
  }
  return fields;
}

export function first(fields: HeaderFields, name: string): string | undefined {
  return fields.get(name)?.[0];
}
