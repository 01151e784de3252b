/** What a template says of itself before its text. */
export interface FrontMatter {
  subject?: string;
  /** The name of its layout, or `none`. */
  layout?: string;
}

export interface Source extends FrontMatter {
  body: string;
  /** Lines of the file before the body. */
  skipped: number;
  /** Lines of the file before the subject. */
  beforeSubject?: number;
}

/** What is wrong, and in which line. */
export class FrontMatterFault extends Error {
  constructor(
    readonly line: number,
    problem: string,
  ) {
    super(problem);
  }
}

const MARK = '---';
const KEYS = ['subject', 'layout'] as const;

/**
 * Takes a template file apart: lines of `key: value` between two lines `---`, if the first line is one, and the rest. It is
 * not YAML: a value goes to the end of its line, and is not quoted.
 *
 * @throws FrontMatterFault
 */
export function parseSource(file: string): Source {
  const lines = file.replace(/^\uFEFF/, '').split(/\r?\n/);
  if (lines[0]?.trimEnd() !== MARK) return { body: lines.join('\n'), skipped: 0 };
  const end = lines.findIndex((line, index) => index > 0 && line.trimEnd() === MARK);
  if (end < 0) throw new FrontMatterFault(1, 'the front matter that begins here is not ended by a line of ---');
  const values: FrontMatter & { beforeSubject?: number } = {};
  for (const [index, line] of lines.slice(1, end).entries()) {
    if (line.trim() === '') continue;
    const [key, value] = parseLine(line, index + 2);
    if (values[key] !== undefined) throw new FrontMatterFault(index + 2, `a second ${key}`);
    values[key] = value;
    if (key === 'subject') values.beforeSubject = index + 1;
  }
  return { ...values, body: lines.slice(end + 1).join('\n'), skipped: end + 1 };
}

function parseLine(line: string, number: number): [key: (typeof KEYS)[number], value: string] {
  const [, name = '', value = ''] = /^(\w+):\s+(.*\S)\s*$/.exec(line) ?? [];
  const key = KEYS.find((known) => known === name);
  if (key === undefined) {
    throw new FrontMatterFault(number, `${JSON.stringify(line)} is neither "subject: …" nor "layout: …"`);
  }
  if (/^(["']).*\1$/.test(value)) throw new FrontMatterFault(number, `the ${key} is in quotes; leave them out`);
  return [key, value];
}
