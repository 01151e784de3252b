import type { BatchContent, BatchItem, SharedContent } from './batch.js';
import { likenessOf, restore } from './likeness.js';

const BODIES = ['text', 'html'] as const;

/** What bodies have in common, by their field. */
export type Pieces = Partial<Record<(typeof BODIES)[number], string[]>>;

/** What the bodies of single messages have in common, stored once, and each of them by what it has itself. */
export interface CondensedContent extends Omit<BatchContent, 'shared' | 'items'> {
  shared: SharedContent & { pieces: Pieces };
  items: CondensedItem[];
}

type CondensedItem = Omit<BatchItem, 'text' | 'html'> & { text?: string | string[]; html?: string | string[] };

/**
 * The same content in less; undefined where there is nothing to save.
 *
 * @param guess what the batch before had in common
 */
export function condense<C extends BatchContent>(
  content: C,
  guess: Pieces = {},
): (Omit<C, 'shared' | 'items'> & CondensedContent) | undefined {
  const pieces: Pieces = {};
  let { items }: { items: CondensedItem[] } = content;
  for (const field of BODIES) {
    const texts = content.items.map((item) => item[field]);
    const likeness = texts.every((text) => text !== undefined) ? likenessOf(texts, guess[field]) : undefined;
    if (!likeness) continue;
    pieces[field] = likeness.pieces;
    items = items.map((item, index) => ({ ...item, [field]: likeness.values[index]! }));
  }
  if (items === content.items) return undefined;
  return { ...content, shared: { ...content.shared, pieces }, items };
}

/** Content as it was before; what was not condensed is left as it is. */
export function expand<C extends object>(content: C): C {
  const { shared, items } = content as Partial<CondensedContent>;
  if (!shared?.pieces || !Array.isArray(items)) return content;
  const { pieces, ...rest } = shared;
  const expanded = items.map((item) => {
    const whole = { ...item };
    for (const field of BODIES) {
      const value = whole[field];
      if (value !== undefined) whole[field] = restore(value, pieces[field] ?? []);
    }
    return whole;
  });
  return { ...content, shared: rest, items: expanded };
}
