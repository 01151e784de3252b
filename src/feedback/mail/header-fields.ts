/** Header fields by lower-case name; of several of one name all, in order. */
export type HeaderFields = ReadonlyMap<string, readonly string[]>;

export function headerFields(entries: Iterable<readonly [name: string, value: string]>): HeaderFields {
  const fields = new Map<string, string[]>();
  for (const [name, value] of entries) {
    const key = name.toLowerCase();
    const known = fields.get(key);
    if (known) known.push(value);
    else fields.set(key, [value]);
  }
  return fields;
}

/** Of any returned headers nobody needs more. */
const MAX_LENGTH = 64 * 1024;

/** The fields up to the first empty line, unfolded. What is none is passed over. */
export function readHeaderFields(text: string): HeaderFields {
  const head = text.slice(0, MAX_LENGTH).replace(/\r\n?/g, '\n');
  const end = head.search(/\n[ \t]*\n/);
  const unfolded = (end < 0 ? head : head.slice(0, end)).replace(/\n[ \t]+/g, ' ');
  return headerFields(
    unfolded.split('\n').flatMap((line): [name: string, value: string][] => {
      const [, name, value] = /^([!-9;-~]+)[ \t]*:(.*)$/.exec(line) ?? [];
      return name === undefined || value === undefined ? [] : [[name, value.trim()]];
    }),
  );
}

export function first(fields: HeaderFields, name: string): string | undefined {
  return fields.get(name)?.[0];
}

/** That of the first of these fields that is there; undefined where it has none. */
export function dateIn(fields: HeaderFields, names: readonly string[]): Date | undefined {
  const text = names.map((name) => first(fields, name)).find((value) => value !== undefined);
  const date = new Date(text ?? NaN);
  return Number.isNaN(date.getTime()) ? undefined : date;
}
