import { simpleParser } from 'mailparser';
import { decodeWords } from 'postal-mime';
import { readTree, type Part } from './mime-tree.js';
import { parse } from './parse.js';

/**
 * What two unlike parsers, and a strict reader that shares nothing with them, make of a message: all that a person or a
 * program sees of it, and nothing that is the encoder's to choose.
 */
export async function readings(raw: Buffer): Promise<object> {
  const { headers, ...postal } = await parse(raw);
  const other = await simpleParser(raw, { skipHtmlToText: true, skipTextToHtml: true, keepCidLinks: true });
  return {
    postal: {
      ...postal,
      text: shown(postal.text),
      html: shown(postal.html),
      // One by one: two encoded words in a row would be read as one.
      headers: semantic(
        Object.entries(headers).flatMap(([name, values]) =>
          values.split('\n').map((value): [string, string] => [name, value]),
        ),
      ),
    },
    mailparser: {
      headers: [...other.headers].filter(([name]) => !isEncoding(name)).map(([name, value]) => [name, unbound(value)]),
      text: shown(other.text),
      html: shown(other.html || undefined),
      attachments: other.attachments.map(({ filename, contentType, contentDisposition, cid, related, content }) => {
        return { filename, contentType, contentDisposition, cid, related, content };
      }),
    },
  };
}

/** A part as the strict reader finds it. */
export interface Reading {
  type: string;
  headers: [name: string, value: string][];
  body: string | Buffer;
  parts: Reading[];
}

/** What the strict reader makes of it. @throws Error on what is not legal */
export function strictReading(raw: Buffer): Reading {
  return outline(readTree(raw));
}

function outline({ type, headers, body, parts }: Part): Reading {
  const isText = type.startsWith('text/');
  return {
    type,
    headers: semantic(headers),
    body: isText ? text(body.toString()) : body,
    parts: parts.map(outline),
  };
}

function semantic(headers: [string, string][]): [string, string][] {
  return headers
    .filter(([name]) => !isEncoding(name))
    .map(([name, value]) => [name, decodeWords(value.replace(/;\s*boundary="?[^";]*"?/i, ''))]);
}

function isEncoding(name: string): boolean {
  return name.toLowerCase() === 'content-transfer-encoding';
}

function unbound(value: unknown): unknown {
  if (typeof value === 'string') return decodeWords(value);
  if (Array.isArray(value)) return value.map(unbound);
  if (typeof value !== 'object' || value === null || !('params' in value)) return value;
  const { boundary: _, ...params } = value.params as Record<string, string>;
  return { ...value, params };
}

/** How parsers join a text and an attachment to be shown below it depends on how the text was encoded. */
function shown(given = ''): string {
  return text(given)
    .replace(/\s*<br \/>\s*/g, '<br />')
    .replace(/\n+/g, '\n');
}

/** A line break at the very end is there or not as the encoding needs it. */
export function text(given: string): string {
  return given.replace(/\r\n?/g, '\n').replace(/\n+$/, '');
}
