import { createHash } from 'node:crypto';
import { escape } from '../../mime/merge.js';

/** What the page says. `{address}` and `{list}` are put in, escaped. */
export interface UnsubscribeTexts {
  /** The page's language. Default `'en'`. */
  lang: string;
  title: string;
  /** To somebody who followed the link, and leaves all bulk mail. */
  question: string;
  /** The same of one list. */
  listQuestion: string;
  /** On the button. */
  confirm: string;
  done: string;
  listDone: string;
  /** On the button that takes it back. */
  undo: string;
  undone: string;
  invalid: string;
  expired: string;
  /** Something is out of order here. */
  unavailable: string;
}

const TEXTS: UnsubscribeTexts = {
  lang: 'en',
  title: 'Unsubscribe',
  question: 'Do you want no more of these mails to {address}?',
  listQuestion: 'Do you want no more mails of the list “{list}” to {address}?',
  confirm: 'Unsubscribe',
  done: '{address} is unsubscribed. Mails that are on their way already may still arrive.',
  listDone: '{address} is unsubscribed from the list “{list}”. Mails that are on their way already may still arrive.',
  undo: 'Subscribe again',
  undone: '{address} is subscribed again.',
  invalid: 'This link is not valid. Please use the whole link of the mail, or answer the mail.',
  expired: 'This link is too old. Please use the link of a newer mail, or answer the mail.',
  unavailable: 'This does not work at the moment. Please try again in a minute.',
};

/** What is shown. */
export type UnsubscribeView =
  | { kind: 'question' | 'done' | 'undone'; address: string; list?: string; undo: boolean }
  | { kind: 'invalid' | 'expired' | 'unavailable' };

/** The field of a form, as RFC 8058 names it; and those of this page alone. */
export const ONE_CLICK = ['List-Unsubscribe', 'One-Click'] as const;
export const BY_PAGE = ['Via', 'Page'] as const;
export const UNDO = ['Undo', 'Subscribe-Again'] as const;

const STYLE =
  'body{margin:15vh auto 0;max-width:34em;padding:0 1.5em;font:1.1em/1.5 system-ui,sans-serif;overflow-wrap:anywhere}' +
  'button{font:inherit;padding:.5em 1.2em}@media(prefers-color-scheme:dark){body{background:#111;color:#eee}}';

/** Everything that the page may load or do: its own style, and its own form. */
export const CONTENT_SECURITY_POLICY = [
  "default-src 'none'",
  `style-src 'sha256-${createHash('sha256').update(STYLE).digest('base64')}'`,
  "form-action 'self'",
  "base-uri 'none'",
  "frame-ancestors 'none'",
].join('; ');

/** The page as HTML. It has no script, and loads nothing. */
export function renderPage(view: UnsubscribeView, own: Partial<UnsubscribeTexts> = {}): string {
  const texts = textsWith(own);
  const say = (text: string): string => html(filled(text, view));
  return `<!doctype html>
<html lang="${html(texts.lang)}">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="robots" content="noindex, nofollow">
<title>${html(texts.title)}</title>
<style>${STYLE}</style>
</head>
<body>
<main>
<h1>${html(texts.title)}</h1>
<p>${say(words(view, texts))}</p>
${form(view, texts)}</main>
</body>
</html>
`;
}

/** A translation may lack some, whatever its types say. */
function textsWith(own: Partial<UnsubscribeTexts>): UnsubscribeTexts {
  const texts = Object.entries(own).filter(([, text]) => typeof text === 'string');
  return { ...TEXTS, ...(Object.fromEntries(texts) as Partial<UnsubscribeTexts>) };
}

function words(view: UnsubscribeView, texts: UnsubscribeTexts): string {
  const { kind } = view;
  if (kind === 'question') return view.list === undefined ? texts.question : texts.listQuestion;
  if (kind === 'done') return view.list === undefined ? texts.done : texts.listDone;
  return texts[kind];
}

/** Posts to the page's own address, whose query has the token. */
function form(view: UnsubscribeView, { confirm, undo }: UnsubscribeTexts): string {
  if (view.kind === 'question') return button(confirm, ONE_CLICK, BY_PAGE);
  if (view.kind === 'done' && view.undo) return button(undo, UNDO);
  return '';
}

function button(label: string, ...fields: (readonly [name: string, value: string])[]): string {
  const hidden = fields.map(([name, value]) => `<input type="hidden" name="${name}" value="${value}">`);
  return `<form method="post">${hidden.join('')}<button type="submit">${html(label)}</button></form>\n`;
}

function filled(text: string, view: UnsubscribeView): string {
  if (!('address' in view)) return text;
  const values: Record<string, string> = { address: view.address, list: view.list ?? '' };
  return text.replace(/\{(address|list)\}/g, (_, name: string) => values[name]!);
}

function html(text: string): string {
  return escape(text, 'html');
}
