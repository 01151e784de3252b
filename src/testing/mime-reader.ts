/** A message or a part of one, read from its bytes (RFC 5322, RFC 2045). */
export interface Part {
  /** By their names in lower case, decoded; those of one name in their order. */
  headers: ReadonlyMap<string, readonly string[]>;
  /** In lower case, without parameters. */
  contentType: string;
  disposition: string;
  filename?: string;
  /** Decoded, whatever its transfer encoding. Empty for a multipart. */
  content: Buffer;
  parts: readonly Part[];
}

/** Reads what this package has written: the structure and the encodings that nodemailer's composer makes. */
export function readMime(raw: Buffer): Part {
  const end = raw.indexOf('\r\n\r\n');
  const head = end < 0 ? raw : raw.subarray(0, end + 2);
  const body = end < 0 ? Buffer.alloc(0) : raw.subarray(end + 4);
  const fields = fieldsOf(head.toString('utf8'));
  const type = parameters(fields.get('content-type')?.[0] ?? 'text/plain');
  const disposition = parameters(fields.get('content-disposition')?.[0] ?? '');
  const filename = disposition.values.get('filename') ?? type.values.get('name');
  const boundary = type.values.get('boundary');
  const parts = type.name.startsWith('multipart/') && boundary !== undefined ? partsOf(body, boundary) : [];
  const encoding = fields.get('content-transfer-encoding')?.[0]?.trim().toLowerCase();
  return {
    headers: new Map([...fields].map(([name, values]) => [name, values.map(decodeWords)])),
    contentType: type.name,
    disposition: disposition.name,
    ...(filename === undefined ? {} : { filename: decodeWords(filename) }),
    content: parts.length > 0 ? Buffer.alloc(0) : decode(body, encoding),
    parts,
  };
}

/** The parts that have no parts, in their order; a message that is attached is one of them. */
export function leavesOf(part: Part): Part[] {
  return part.parts.length > 0 ? part.parts.flatMap(leavesOf) : [part];
}

function fieldsOf(head: string): Map<string, string[]> {
  const fields = new Map<string, string[]>();
  const unfolded = head.replace(/\r\n(?=[ \t])/g, '');
  for (const line of unfolded.split('\r\n')) {
    const colon = line.indexOf(':');
    if (colon <= 0) continue;
    const name = line.slice(0, colon).toLowerCase();
    fields.set(name, [...(fields.get(name) ?? []), line.slice(colon + 1).trim()]);
  }
  return fields;
}

function partsOf(body: Buffer, boundary: string): Part[] {
  // Octets as characters, so that places in the text are places in the bytes.
  const text = `\r\n${body.toString('latin1')}`;
  const [, ...sections] = text.split(`\r\n--${boundary}`);
  const whole = sections.filter((section) => !section.startsWith('--'));
  return whole.map((section) => readMime(Buffer.from(section.slice(section.indexOf('\r\n') + 2), 'latin1')));
}

function decode(body: Buffer, encoding: string | undefined): Buffer {
  switch (encoding) {
    case 'base64':
      return Buffer.from(body.toString('latin1'), 'base64');
    case 'quoted-printable':
      return unquote(body.toString('latin1').replace(/[ \t]*=\r\n/g, ''), '=');
    default:
      return body;
  }
}

/** Octets written in hexadecimal behind a mark. */
function unquote(text: string, mark: '=' | '%'): Buffer {
  const octets = text.replace(new RegExp(`${mark}([\\dA-F]{2})`, 'gi'), (_, hex: string) =>
    String.fromCharCode(parseInt(hex, 16)),
  );
  return Buffer.from(octets, 'latin1');
}

const WORD = /=\?[\w-]+\?([BQ])\?([^?]*)\?=/gi;

/** Encoded words (RFC 2047). A character may begin in one of them and end in the next. */
function decodeWords(value: string): string {
  return value.replace(/=\?[\w-]+\?[BQ]\?[^?]*\?=(?:\s+=\?[\w-]+\?[BQ]\?[^?]*\?=)*/gi, (run) => {
    const octets = [...run.matchAll(WORD)].map(([, encoding = '', text = '']) =>
      encoding.toUpperCase() === 'B' ? Buffer.from(text, 'base64') : unquote(text.replaceAll('_', ' '), '='),
    );
    return Buffer.concat(octets).toString('utf8');
  });
}

const PARAMETER = /;\s*([\w-]+)(?:\*(\d+))?(\*)?\s*=\s*("(?:[^"\\]|\\.)*"|[^;\s]*)/g;

/** A field's value and its parameters, put together where they are continued or encoded (RFC 2231). */
function parameters(field: string): { name: string; values: ReadonlyMap<string, string> } {
  const values = new Map<string, string>();
  for (const [, name = '', , encoded, given = ''] of field.matchAll(PARAMETER)) {
    const text = given.startsWith('"') ? given.slice(1, -1).replace(/\\(.)/g, '$1') : given;
    const plain = encoded ? unquote(text.replace(/^[\w-]*'[\w-]*'/, ''), '%').toString('latin1') : text;
    const key = name.toLowerCase();
    values.set(key, (values.get(key) ?? '') + plain);
  }
  for (const [name, value] of values) values.set(name, utf8(value));
  return { name: (field.split(';', 1)[0] ?? '').trim().toLowerCase(), values };
}

/** Octets that are UTF-8 are characters; what has others already stays as it is. */
function utf8(value: string): string {
  if (/[^\0-\xff]/.test(value)) return value;
  const text = Buffer.from(value, 'latin1').toString('utf8');
  return text.includes('\ufffd') ? value : text;
}
