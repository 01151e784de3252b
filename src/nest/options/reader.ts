import { MailConfigError, withoutCredentials } from '../../errors.js';
import { parseDuration } from '../../message/duration.js';

/** Reads one object of options: each value by its name, checked, with its default. Unknown names are refused. */
export class OptionReader {
  private readonly values: Record<string, unknown>;
  private readonly known = new Set<string>();

  constructor(
    value: unknown,
    readonly path: string,
  ) {
    if (value !== undefined && (typeof value !== 'object' || value === null || Array.isArray(value))) {
      fail(path, value, 'Give an object.');
    }
    this.values = (value ?? {}) as Record<string, unknown>;
  }

  raw(name: string): unknown {
    this.known.add(name);
    return this.values[name];
  }

  /** It is there, if only as undefined. */
  has(name: string): boolean {
    return name in this.values;
  }

  pathOf(name: string): string {
    return this.path === '' ? name : `${this.path}.${name}`;
  }

  section(name: string): OptionReader {
    return new OptionReader(this.raw(name), this.pathOf(name));
  }

  /** Milliseconds; at most what a timer of Node can wait, unless `max` says otherwise. */
  duration(name: string, otherwise: number, min = 0, max = 2 ** 31 - 1): number {
    const value = this.raw(name);
    if (value === undefined) return otherwise;
    const parsed = parseDuration(value);
    if (parsed === undefined)
      fail(this.pathOf(name), value, "Give milliseconds or a string such as '30s', '15m' or '24h'.");
    if (parsed < min) fail(this.pathOf(name), value, `Give at least ${min} ms.`);
    if (parsed > max) fail(this.pathOf(name), value, `Give at most ${max} ms.`);
    return parsed;
  }

  integer(name: string, otherwise: number, min: number, max: number): number {
    const value = this.raw(name);
    if (value === undefined) return otherwise;
    if (typeof value === 'number' && Number.isInteger(value) && value >= min && value <= max) return value;
    return fail(this.pathOf(name), value, `Give a whole number from ${min} to ${max}.`);
  }

  /** Above 0, and not necessarily whole. */
  positive(name: string, otherwise: number): number {
    const value = this.raw(name);
    if (value === undefined) return otherwise;
    if (typeof value === 'number' && value > 0) return value;
    return fail(this.pathOf(name), value, 'Give a number above 0.');
  }

  string(name: string): string | undefined {
    const value = this.raw(name);
    if (value === undefined || (typeof value === 'string' && value !== '')) return value;
    return fail(this.pathOf(name), value, 'Give a string that is not empty.');
  }

  oneOf<T extends string>(name: string, choices: readonly T[], otherwise: T): T {
    const value = this.raw(name);
    if (value === undefined) return otherwise;
    if (choices.includes(value as T)) return value as T;
    return fail(this.pathOf(name), value, `Give one of ${choices.map((choice) => `'${choice}'`).join(', ')}.`);
  }

  boolean(name: string, otherwise: boolean): boolean {
    const value = this.raw(name);
    if (value === undefined || typeof value === 'boolean') return value ?? otherwise;
    return fail(this.pathOf(name), value, 'Give true or false.');
  }

  /** One function, or several in order. Default: none. */
  functions<T>(name: string, remedy: string): readonly T[] {
    const value = this.raw(name) ?? [];
    const list: readonly unknown[] = Array.isArray(value) ? value : [value];
    const wrong = list.findIndex((entry) => typeof entry !== 'function');
    if (wrong >= 0)
      fail(Array.isArray(value) ? `${this.pathOf(name)}[${wrong}]` : this.pathOf(name), list[wrong], remedy);
    return list as readonly T[];
  }

  /** Call when everything has been read: a misspelt option must not be passed over. */
  end(): void {
    for (const name of Object.keys(this.values)) {
      if (this.known.has(name) || this.values[name] === undefined) continue;
      throw new MailConfigError(
        `The mail option ${this.pathOf(name)} is not known. Known here: ${[...this.known].sort().join(', ')}.`,
      );
    }
  }
}

/** @throws MailConfigError always */
export function fail(path: string, value: unknown, remedy: string): never {
  throw new MailConfigError(`The mail option ${path} is ${show(value)}. ${remedy}`);
}

/** The same for what may be a password: tells its type alone. @throws MailConfigError always */
export function failUnseen(path: string, value: unknown, remedy: string): never {
  const what = value === undefined ? 'missing' : value === '' ? 'empty' : `of type ${typeof value}`;
  throw new MailConfigError(`The mail option ${path} is ${what}. ${remedy}`);
}

/** A value for a message, without credentials. */
function show(value: unknown): string {
  if (value === undefined) return 'missing';
  if (typeof value === 'string' && value.includes('PRIVATE KEY-----')) return 'a private key';
  if (typeof value === 'string') return JSON.stringify(withoutCredentials(value).slice(0, 200));
  if (typeof value === 'number' || typeof value === 'boolean' || value === null) return String(value);
  if (Array.isArray(value)) return value.length === 0 ? 'an empty list' : 'a list';
  return typeof value === 'object' ? 'an object' : `a ${typeof value}`;
}
