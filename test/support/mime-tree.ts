/** A MIME part, read without mercy. */
export interface Part {
  /** In order, unfolded, not decoded. */
  headers: [name: string, value: string][];
  /** Lower case, without parameters. */
  type: string;
  encoding: string;
  /** Of a leaf, decoded. */
  body: Buffer;
  parts: Part[];
}

const ADDRESSES = /^(from|to|cc|reply-to)$/i;
const ENCODED_WORD = /=\?[^?\s]+\?([QB])\?([^?\s]*)\?=/gi;

/**
 * Reads a message that breaks no rule of RFC 5322, 2045, 2046 and 2047 that a server or a mail program might insist on.
 *
 * @throws Error naming the rule and the line
 */
export function readTree(raw: Buffer): Part {
  const text = raw.toString('latin1');
  const stray = /\r(?!\n)|(?<!\r)\n|\0/.exec(text);
  if (stray) throw broken('CR, LF or NUL outside a CRLF', text.slice(Math.max(0, stray.index - 20), stray.index + 20));
  if (!text.endsWith('\r\n')) throw broken('does not end with CRLF', text.slice(-20));
  const long = text.split('\r\n').find((line) => line.length > 998);
  if (long !== undefined) throw broken(`a line of ${long.length} octets`, long);
  return readPart(text);
}

function readPart(text: string): Part {
  // An empty header block is no part's here: each names its type.
  const end = text.indexOf('\r\n\r\n');
  if (end < 0) throw broken('no empty line after the header', text);
  const headers = readHeaders(text.slice(0, end));
  const content = text.slice(end + 4);
  const only = (name: string) => {
    const values = headers.filter(([key]) => key.toLowerCase() === name).map(([, value]) => value);
    if (values.length > 1) throw broken(`${name} twice`, values.join());
    return values[0];
  };
  const contentType = only('content-type') ?? 'text/plain';
  const type = /^[^;\s]+/.exec(contentType)![0].toLowerCase();
  const encoding = only('content-transfer-encoding') ?? '7bit';
  if (!type.startsWith('multipart/')) return { headers, type, encoding, body: decode(content, encoding), parts: [] };
  if (!/^(7bit|8bit)$/i.test(encoding)) throw broken('an encoded multipart', encoding);
  const boundary = /;\s*boundary=(?:"([^"\\]{1,70})"|([^\s;"]{1,70}))(?=;|$)/i.exec(contentType);
  if (!boundary) throw broken('a multipart without a legal boundary', contentType);
  const parts = split(content, boundary[1] ?? boundary[2]!).map(readPart);
  return { headers, type, encoding, body: Buffer.alloc(0), parts };
}

/** Neither preamble nor epilogue, and the boundary nowhere but in its delimiters. */
function split(content: string, boundary: string): string[] {
  const [before, ...rest] = `\r\n${content}`.split(`\r\n--${boundary}`);
  if (before !== '' || rest.pop() !== '--\r\n') throw broken('text outside the parts', content);
  return rest.map((part) => {
    if (!part.startsWith('\r\n')) throw broken('a delimiter that is longer than its boundary', part);
    if (part.includes(boundary)) throw broken('the boundary inside a part', part);
    return part.slice(2);
  });
}

function readHeaders(block: string): [string, string][] {
  return block.split(/\r\n(?![ \t])/).map((field) => {
    const match = /^([!-9;-~]+): ?([^]*)$/.exec(field);
    if (!match) throw broken('no header field', field);
    const [, name, value] = match as unknown as [string, string, string];
    const [first, ...more] = value.split('\r\n');
    if (more.some((line) => /^[ \t]*$/.test(line))) throw broken('a folded line of white space alone', field);
    if (first === '' && more.length === 0) throw broken('an empty header', field);
    checkHeaderText(name, value);
    return [name, value.replaceAll('\r\n', '')];
  });
}

function checkHeaderText(name: string, value: string): void {
  const plain = Buffer.from(value.replaceAll('\r\n', ''), 'latin1').toString();
  if (/\p{Cc}/u.test(plain.replaceAll('\t', ''))) throw broken(`a control character in ${name}`, value);
  // RFC 6532 lets an address have UTF-8, and we let nothing else have it.
  const rest = ADDRESSES.test(name) ? plain.replace(/[^\s<>",;:]+@[^\s<>",;]+/g, '') : plain;
  if (/\P{ASCII}/u.test(rest)) throw broken(`bare UTF-8 in ${name}`, value);
  // In a quoted string it would not be one.
  for (const [word, encoding, text] of plain.replace(/"(?:[^"\\]|\\.)*"/g, '""').matchAll(ENCODED_WORD)) {
    if (word.length > 75) throw broken(`an encoded word of ${word.length} characters in ${name}`, word);
    const bytes =
      encoding!.toUpperCase() === 'B' ? base64(text!) : quotedPrintable(text!.replaceAll('_', '=20'), /^[!->@-~]*$/);
    wholeCharacters(bytes, word);
  }
}

function wholeCharacters(bytes: Buffer, where: string): void {
  try {
    new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch {
    throw broken('half a character', where);
  }
}

function decode(content: string, encoding: string): Buffer {
  switch (encoding.toLowerCase()) {
    case '7bit':
      if (/[\x80-\xff]/.test(content)) throw broken('8-bit octets under 7bit', content);
      return Buffer.from(content, 'latin1');
    case '8bit':
      return Buffer.from(content, 'latin1');
    case 'quoted-printable':
      return Buffer.concat(
        content.split('\r\n').map((line, index, lines) => {
          if (line.length > 76) throw broken(`a quoted-printable line of ${line.length} characters`, line);
          if (/[ \t]$/.test(line)) throw broken('white space at the end of a quoted-printable line', line);
          const soft = line.endsWith('=');
          if (soft && index === lines.length - 1) throw broken('a soft line break at the end', line);
          const bytes = quotedPrintable(soft ? line.slice(0, -1) : line, /^[\t -~]*$/);
          return soft || index === lines.length - 1 ? bytes : Buffer.concat([bytes, Buffer.from('\r\n')]);
        }),
      );
    case 'base64': {
      const lines = content.split('\r\n');
      const long = lines.find((line) => line.length > 76);
      if (long !== undefined) throw broken(`a base64 line of ${long.length} characters`, long);
      if (lines.slice(0, -1).includes('') && lines.join('').length > 0) throw broken('an empty base64 line', content);
      return base64(lines.join(''));
    }
    default:
      throw broken('an unknown transfer encoding', encoding);
  }
}

function quotedPrintable(text: string, allowed: RegExp): Buffer {
  if (!allowed.test(text) || /=(?![\dA-F]{2})/.test(text)) throw broken('illegal quoted-printable', text);
  return Buffer.from(
    text.replace(/=(..)/g, (_, hex: string) => String.fromCharCode(parseInt(hex, 16))),
    'latin1',
  );
}

function base64(text: string): Buffer {
  const bytes = Buffer.from(text, 'base64');
  if (bytes.toString('base64') !== text) throw broken('illegal base64', text);
  return bytes;
}

function broken(rule: string, where: string): Error {
  return new Error(`${rule}: ${JSON.stringify(where.length > 300 ? `${where.slice(0, 300)}…` : where)}`);
}
