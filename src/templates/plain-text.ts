import type { compile, FormatCallback } from 'html-to-text';
import { isDeeper, withoutTags } from './markup.js';

type Convert = ReturnType<typeof compile>;

/**
 * Converts by recursion, and the stack ends somewhere above a thousand; parsing takes the square of the depth. MJML's tables in
 * tables come to some fifty.
 */
const MAX_DEPTH = 500;
const HEADINGS = ['h1', 'h2', 'h3', 'h4', 'h5', 'h6'];
/** `data-skip-in-text` is React Email's mark. What is hidden is a preheader for the inbox's list, padded with odd spaces. */
const UNSEEN = [
  'style',
  'script',
  'title',
  '[style*="display:none"i]',
  '[style*="display: none"i]',
  '[data-skip-in-text]',
];

let converter: Promise<Convert> | undefined;

/**
 * The plain text of an HTML mail: a link as `text [url]`, an image as its alternative text, no line broken. Of HTML that is nested
 * without end its bare text.
 */
export async function plainTextOf(html: string): Promise<string> {
  converter ??= load();
  const convert = await converter;
  return convert(isDeeper(html, MAX_DEPTH) ? withoutTags(html) : html);
}

async function load(): Promise<Convert> {
  const { compile } = await import('html-to-text');
  return compile({
    wordwrap: false,
    limits: { maxDepth: MAX_DEPTH },
    formatters: { alternative, cell },
    selectors: [
      { selector: 'a', options: { hideLinkHrefIfSameAsText: true } },
      { selector: 'img', format: 'alternative' },
      ...HEADINGS.map((selector) => ({ selector, options: { uppercase: false } })),
      // Tables are layout in most mails: their rows are lines, their cells are not aligned.
      { selector: 'tr', format: 'block', options: { leadingLineBreaks: 1, trailingLineBreaks: 1 } },
      ...['td', 'th'].map((selector) => ({ selector, format: 'cell' })),
      ...UNSEEN.map((selector) => ({ selector, format: 'skip' })),
    ],
  });
}

const alternative: FormatCallback = (element, _walk, builder) => {
  const { alt = '' } = element.attribs as Record<string, string>;
  if (alt.trim() !== '') builder.addInline(alt.trim());
};

const cell: FormatCallback = (element, walk, builder) => {
  walk(element.children, builder);
  builder.addInline(' ');
};
