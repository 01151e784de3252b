/** What a piece of HTML is: text, or where an element begins or ends, by its name in lower case. */
type Token = { text: string } | { begins: string } | { ends: string };

const TAG = /<!--|<(\/?)([a-z][^\s/>]*)/gi;
/** What stands in these is no markup. */
const RAW = new Set(['script', 'style', 'title', 'textarea', 'xmp']);
const VOID = new Set('area base br col embed hr img input link meta param source track wbr'.split(' '));
/** Which elements end where one of these begins, when their own end is left out. */
const ENDED_BY: Readonly<Record<string, readonly string[]>> = {
  p: ['p'],
  li: ['li'],
  tr: ['tr', 'th', 'td'],
  th: ['th'],
  td: ['th', 'td'],
  dt: ['dd', 'dt'],
  dd: ['dd', 'dt'],
};

/** Whether elements of it are nested deeper than that. One pass, which ends there. */
export function isDeeper(html: string, levels: number): boolean {
  const open: string[] = [];
  for (const token of tokensOf(html)) {
    if ('begins' in token) {
      const ended = Object.hasOwn(ENDED_BY, token.begins) ? ENDED_BY[token.begins]! : [];
      while (open.length > 0 && ended.includes(open.at(-1)!)) open.pop();
      if (!VOID.has(token.begins)) open.push(token.begins);
      if (open.length > levels) return true;
    } else if ('ends' in token) {
      const index = open.lastIndexOf(token.ends);
      if (index >= 0) open.length = index;
    }
  }
  return false;
}

/** Without its tags, comments, styles and scripts. One pass. */
export function withoutTags(html: string): string {
  const texts: string[] = [];
  for (const token of tokensOf(html)) if ('text' in token) texts.push(token.text);
  // A space keeps two halves of a tag apart.
  return texts.join(' ');
}

function* tokensOf(html: string): Iterable<Token> {
  const tag = new RegExp(TAG);
  let from = 0;
  for (let match = tag.exec(html); match; match = tag.exec(html)) {
    const [{ length }, slash, written] = match;
    if (match.index > from) yield { text: html.slice(from, match.index) };
    const name = written?.toLowerCase();
    from = name === undefined ? after(html, '-->', match.index + length) : tagEnd(html, match.index + length);
    if (name !== undefined) yield slash === '/' ? { ends: name } : { begins: name };
    if (name !== undefined && slash === '' && RAW.has(name)) from = rawEnd(html, name, from);
    tag.lastIndex = from;
  }
  if (from < html.length) yield { text: html.slice(from) };
}

/** An attribute with its value, or of a quoted value its quote; or the end of the tag. */
const ATTRIBUTE = /[^\s>/=]\s*=\s*(["']|[^\s>"'][^\s>]*)?|>/g;

/** Behind the `>` that ends a tag, which is none inside a quoted value. */
function tagEnd(html: string, from: number): number {
  const attribute = new RegExp(ATTRIBUTE);
  attribute.lastIndex = from;
  for (let match = attribute.exec(html); match; match = attribute.exec(html)) {
    const [matched, value] = match;
    if (matched === '>') return attribute.lastIndex;
    if (value === '"' || value === "'") attribute.lastIndex = after(html, value, attribute.lastIndex);
  }
  return html.length;
}

function rawEnd(html: string, name: string, from: number): number {
  const end = new RegExp(`</${name}`, 'gi');
  end.lastIndex = from;
  return end.exec(html)?.index ?? html.length;
}

function after(html: string, end: string, from: number): number {
  const index = html.indexOf(end, from);
  return index < 0 ? html.length : index + end.length;
}
