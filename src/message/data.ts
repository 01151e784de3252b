import type { Fault } from '../errors.js';

/** What a mail class is to be rendered from, copied, and about how many characters of JSON it takes. */
export interface PlainData {
  value: unknown;
  length: number;
}

/**
 * A copy of a mail class's data, or the first place in it that JSON would drop or change. Stricter than merge values, which
 * end as text in any case: a class that is given a Date in one lane and a string in the other would be two classes.
 *
 * @param path of the data, for faults; a function where it takes work to tell
 */
export function plainData(value: unknown, path: string | (() => string)): PlainData | { fault: Fault } {
  const copying = new Copying();
  try {
    return { value: copying.copy(value), length: copying.length };
  } catch (error) {
    if (!(error instanceof Impure)) throw error;
    const root = typeof path === 'string' ? path : path();
    return { fault: { path: root + copying.place, message: error.message } };
  }
}

/** The same data, which nobody can change from now on. */
export function frozen<T>(data: T): T {
  // What is frozen was frozen here, with all that is in it.
  if (typeof data !== 'object' || data === null || Object.isFrozen(data)) return data;
  Object.values(data).forEach(frozen);
  return Object.freeze(data);
}

class Impure extends Error {}

const MAX_DEPTH = 100;

class Copying {
  length = 0;
  /** From the root to what is being copied. */
  private readonly way: (string | number)[] = [];
  private readonly within: object[] = [];

  /** Where the copying stopped. */
  get place(): string {
    return this.way
      .map((key) =>
        typeof key === 'number'
          ? `[${key}]`
          : /^[\p{L}_$][\p{L}\p{N}_$]*$/u.test(key)
            ? `.${key}`
            : `[${JSON.stringify(key)}]`,
      )
      .join('');
  }

  copy(value: unknown): unknown {
    switch (typeof value) {
      case 'string':
        return this.text(value);
      case 'boolean':
        this.length += 5;
        return value;
      case 'number':
        if (!Number.isFinite(value)) throw new Impure(`is ${value}; give a number or null`);
        this.length += 20;
        return value;
      case 'object':
        if (value !== null) return this.nested(value);
        this.length += 5;
        return null;
      case 'undefined':
        throw new Impure('is undefined; give null');
      case 'bigint':
        throw new Impure('is a BigInt; give a string');
      default:
        throw new Impure(`is a ${typeof value}; give what it stands for`);
    }
  }

  private text(value: string): string {
    if (value.includes('\0')) throw new Impure('contains a NUL character');
    this.length += value.length + 3;
    return value.toWellFormed();
  }

  private nested(value: object): unknown {
    if (this.within.includes(value)) throw new Impure('contains itself; leave the reference out');
    if (this.within.length >= MAX_DEPTH) throw new Impure(`is nested deeper than ${MAX_DEPTH} levels`);
    this.within.push(value);
    this.length += 5;
    const copy = Array.isArray(value) ? this.list(value) : this.object(value);
    this.within.pop();
    return copy;
  }

  private list(list: readonly unknown[]): unknown[] {
    // Not map(): it passes over holes, which JSON makes null.
    return Array.from(list, (entry, index) => this.at(index, entry));
  }

  private object(object: object): Record<string, unknown> {
    const problem = problemOf(object);
    if (problem !== undefined) throw new Impure(problem);
    const copy: Record<string, unknown> = {};
    for (const [key, entry] of Object.entries(object)) {
      // A field without a value is as good as none.
      if (entry === undefined) continue;
      if (key === '__proto__') throw new Impure('has the key __proto__');
      copy[this.text(key)] = this.at(key, entry);
    }
    return copy;
  }

  private at(key: string | number, value: unknown): unknown {
    this.way.push(key);
    const copy = this.copy(value);
    this.way.pop();
    return copy;
  }
}

/** Why it is no plain object. */
function problemOf(object: object): string | undefined {
  const prototype: unknown = Object.getPrototypeOf(object);
  if (prototype === Object.prototype || prototype === null) return undefined;
  if (object instanceof Date) return 'is a Date; give a string';
  if (object instanceof Map) return 'is a Map; give an object or a list';
  if (object instanceof Set) return 'is a Set; give a list';
  const { name } = object.constructor;
  return `is ${name ? `an instance of ${name}` : 'an instance of a class'}; give a plain object`;
}
