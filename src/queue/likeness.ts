/** Texts that were made by one template have the rest in common. */
export interface Likeness {
  /** What all of them have, in order: each text is its first piece, a value, the second piece, and so on. */
  pieces: string[];
  /** The values of each text; a text that is not like the others stands for itself. */
  values: (string | string[])[];
}

/** Of shorter texts there is little to save. */
const SHORT = 200;
/** What differs is looked for this many words ahead. */
const AHEAD = 40;
/** A text that does not fit teaches what else differs, this often. */
const LESSONS = 6;
/** As text between them: a value may be any of it. */
const WORDS = /[^\s<>"'/=?&;,.:]+|[\s<>"'/=?&;,.:]/g;
/** Of a piece, to look for. */
const HEAD = 6;
/** A piece of fewer characters costs more than it saves. */
const SMALL = 8;

/**
 * Finds what texts have in common that were made by one template, as notifications are that a loop writes, so that it is stored
 * once. Undefined when they have less than half of it in common.
 *
 * @param guess what texts before these had in common
 */
export function likenessOf(texts: readonly string[], guess: readonly string[] = []): Likeness | undefined {
  const [first = ''] = texts;
  if (texts.length < 3 || first.length < SHORT) return undefined;
  const found = learn(first, texts, guess);
  if (!found) return undefined;
  const { pieces, values } = found;
  const alike = values.filter((value) => typeof value !== 'string').length;
  return alike * lengthOf(pieces) * 2 > lengthOf(texts) ? found : undefined;
}

function lengthOf(texts: readonly string[]): number {
  return texts.reduce((sum, text) => sum + text.length, 0);
}

/** The text behind its values. */
export function restore(value: string | readonly string[], pieces: readonly string[]): string {
  if (typeof value === 'string') return value;
  let text = pieces[0] ?? '';
  for (let index = 1; index < pieces.length; index++) text += (value[index - 1] ?? '') + pieces[index]!;
  return text;
}

/** What of the first text is in the others as well, and what each of them has there. */
function learn(first: string, texts: readonly string[], guess: readonly string[]): Likeness | undefined {
  let words: string[] | undefined;
  let common: readonly boolean[] | undefined;
  // What others had in common is of no account for a text that is not like them.
  let pieces = guess.length > 0 && valuesIn(first, guess) ? [...guess] : [first];
  let values: Likeness['values'] = [];
  let lessons = 0;
  for (let index = 0; index < texts.length; index++) {
    const text = texts[index]!;
    const found = valuesIn(text, pieces);
    if (found || lessons === LESSONS) {
      values.push(found ?? text);
      continue;
    }
    lessons++;
    words ??= first.match(WORDS) ?? [];
    const lesson = compare(words, text.match(WORDS) ?? [], common);
    const learnt = joined(words, lesson);
    // Another template's, from which there is nothing to learn.
    if (lengthOf(learnt) * 2 < lengthOf(pieces)) {
      values.push(text);
      continue;
    }
    common = lesson;
    pieces = learnt;
    // What was found so far was found between other pieces.
    values = [];
    index = -1;
  }
  return { pieces, values };
}

/** Which words of the one are common still, beside those that the other does not have there. */
function compare(words: readonly string[], others: readonly string[], before?: readonly boolean[]): boolean[] {
  const common = words.map((_, index) => before?.[index] ?? true);
  let index = 0;
  let other = 0;
  while (index < words.length) {
    if (words[index] === others[other]) {
      index++;
      other++;
      continue;
    }
    const [skipped, passed] = nextAlike(words, index, others, other);
    for (const end = index + skipped; index < end; index++) common[index] = false;
    other += passed;
  }
  return common;
}

/** How many words of each differ until both go on alike. */
function nextAlike(
  words: readonly string[],
  index: number,
  others: readonly string[],
  other: number,
): [skipped: number, passed: number] {
  for (let distance = 1; distance <= AHEAD; distance++) {
    for (let skipped = 0; skipped <= distance; skipped++) {
      const [i, j] = [index + skipped, other + distance - skipped];
      const alike = i < words.length && words[i] === others[j] && words[i + 1] === others[j + 1];
      if (alike && words[i + 2] === others[j + 2]) return [skipped, distance - skipped];
    }
  }
  return [words.length - index, others.length - other];
}

/** The pieces between what differs; the first and the last one may be empty. */
function joined(words: readonly string[], common: readonly boolean[]): string[] {
  const pieces = [''];
  let open = false;
  for (const [index, word] of words.entries()) {
    if (common[index]) {
      if (open) pieces.push('');
      open = false;
      pieces[pieces.length - 1] += word;
    } else open = true;
  }
  if (open) pieces.push('');
  return pieces.filter((piece, index) => index === 0 || index === pieces.length - 1 || piece.length >= SMALL);
}

/** What stands between the pieces in this text; undefined when it does not have them. */
function valuesIn(text: string, pieces: readonly string[]): string[] | undefined {
  const [first = ''] = pieces;
  if (pieces.length === 1) return text === first ? [] : undefined;
  if (text.slice(0, first.length) !== first) return undefined;
  const last = pieces[pieces.length - 1]!;
  const end = text.length - last.length;
  let from = first.length;
  if (end < from || text.slice(end) !== last) return undefined;
  const values: string[] = [];
  for (let index = 1; index < pieces.length - 1; index++) {
    const piece = pieces[index]!;
    const at = find(piece, text, from, end);
    if (at < 0) return undefined;
    values.push(text.slice(from, at));
    from = at + piece.length;
  }
  values.push(text.slice(from, end));
  return values;
}

/** As `indexOf`, which prepares itself for so long for a long piece that comes soon. */
function find(piece: string, text: string, from: number, end: number): number {
  const head = piece.slice(0, HEAD);
  for (let at = text.indexOf(head, from); at >= 0 && at + piece.length <= end; at = text.indexOf(head, at + 1)) {
    if (text.slice(at, at + piece.length) === piece) return at;
  }
  return -1;
}
