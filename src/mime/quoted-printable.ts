/** A soft line break takes the 76th place (RFC 2045 §6.7). */
const LINE = 75;
const HEX = Buffer.from('0123456789ABCDEF', 'latin1');
const [TAB, LF, CR, SPACE, DOT, EQUALS] = [0x09, 0x0a, 0x0d, 0x20, 0x2e, 0x3d];

/** Octets of working memory that are kept from one message to the next. */
const KEEP = 64 * 1024;

/** 1 for each octet that stands for itself. */
const LITERAL = new Uint8Array(256);
for (let octet = 0x21; octet <= 0x7e; octet++) LITERAL[octet] = octet === EQUALS ? 0 : 1;
LITERAL[TAB] = LITERAL[SPACE] = 1;

/** What stands for itself, and can be written without a look at each octet. */
const PLAIN = /^(?:[ -<>-~]*[!-<>-~])?$/;

/** Text that was encoded once, to be put in at any place of a line. */
export interface Quoted {
  bytes: Buffer;
  /** Octets up to its first line break, or all of them. */
  first: number;
  /** Octets after its last line break; undefined when it has none. */
  last: number | undefined;
}

/** Writes quoted-printable text (RFC 2045 §6.7) piece by piece. Line ends of any kind become CRLF. */
export class QuotedWriter {
  private bytes = Buffer.allocUnsafe(KEEP);
  private length = 0;
  private column = 0;

  /** Octets written so far. */
  get size(): number {
    return this.length;
  }

  /** Forgets what was written. */
  reset(): void {
    if (this.bytes.length > KEEP) this.bytes = Buffer.allocUnsafe(KEEP);
    this.length = 0;
    this.column = 0;
  }

  /** A new line begins here, of another part. */
  begin(): void {
    this.column = 0;
  }

  /** As it is: ASCII with CRLF line ends. */
  raw(text: string): void {
    this.reserve(text.length);
    this.length += this.bytes.write(text, this.length, 'latin1');
  }

  /** What `quote` made. */
  put({ bytes, first, last }: Quoted): void {
    this.reserve(bytes.length + 3);
    if (this.column > 0 && this.column + first > LINE) this.softBreak();
    bytes.copy(this.bytes, this.length);
    this.length += bytes.length;
    this.column = last ?? this.column + first;
  }

  /** A space or tab at its end is encoded: it may be the end of a line. */
  text(text: string): void {
    const { length } = text;
    if (length <= LINE && PLAIN.test(text)) {
      this.reserve(length + 3);
      if (this.column > 0 && this.column + length > LINE) this.softBreak();
      this.length += this.bytes.write(text, this.length, 'latin1');
      this.column += length;
      return;
    }
    this.octets(Buffer.from(text));
  }

  /** Ends the last line, if it has no end. */
  end(): void {
    if (this.length > 0 && this.bytes[this.length - 1] !== LF) this.raw('\r\n');
  }

  /** What was written, in a Buffer of its own. */
  copy(): Buffer {
    return Buffer.from(this.bytes.subarray(0, this.length));
  }

  private octets(input: Buffer): void {
    const end = input.length;
    // Each octet takes three places at most, and a soft break each 25 of those.
    this.reserve(Math.ceil(end * 3.2) + 8);
    const out = this.bytes;
    let at = this.length;
    let column = this.column;
    for (let index = 0; index < end; index++) {
      const octet = input[index]!;
      if (octet === CR || octet === LF) {
        if (octet === CR && input[index + 1] === LF) index++;
        out[at++] = CR;
        out[at++] = LF;
        column = 0;
        continue;
      }
      let literal = LITERAL[octet] === 1;
      if (octet === SPACE || octet === TAB) {
        const next = input[index + 1];
        literal = next !== undefined && next !== CR && next !== LF;
      } else if (octet === DOT && column === 0) literal = false;
      if (column + (literal ? 1 : 3) > LINE) {
        out[at++] = EQUALS;
        out[at++] = CR;
        out[at++] = LF;
        column = 0;
        if (octet === DOT) literal = false;
      }
      if (literal) {
        out[at++] = octet;
        column++;
      } else {
        out[at++] = EQUALS;
        out[at++] = HEX[octet >> 4]!;
        out[at++] = HEX[octet & 15]!;
        column += 3;
      }
    }
    this.length = at;
    this.column = column;
  }

  private softBreak(): void {
    this.bytes[this.length++] = EQUALS;
    this.bytes[this.length++] = CR;
    this.bytes[this.length++] = LF;
    this.column = 0;
  }

  private reserve(octets: number): void {
    if (this.length + octets <= this.bytes.length) return;
    const larger = Buffer.allocUnsafe(Math.max(this.bytes.length * 2, this.length + octets));
    this.bytes.copy(larger, 0, 0, this.length);
    this.bytes = larger;
  }
}

/** Encodes text from the beginning of a line on. */
export function quote(text: string): Quoted {
  const writer = new QuotedWriter();
  writer.text(text);
  const bytes = writer.copy();
  const first = bytes.indexOf('\r\n');
  return {
    bytes,
    first: first < 0 ? bytes.length : first,
    last: first < 0 ? undefined : bytes.length - bytes.lastIndexOf('\r\n') - 2,
  };
}
