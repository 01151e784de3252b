import type { Address } from '../message/address.js';
import type { OwnParts } from '../message/message.js';
import type { Encoded } from './encoded.js';
import type { MergeData } from './merge.js';
import { QuotedWriter } from './quoted-printable.js';

/** What differs between messages that are otherwise one. */
export interface Letter extends OwnParts {
  to: Address[];
  /** For the merge fields. */
  data?: MergeData;
  /** Beside those that all have. */
  headers?: readonly [name: string, value: string][];
}

/** A header line of its own for each letter; empty for none. */
export type HeaderSlot = (letter: Letter, messageId: string, name: string) => string;
/** Writes a part of the body; false when it is empty, which would be another kind of message. */
export type BodySlot = { write: (letter: Letter, writer: QuotedWriter) => boolean };

const writer = new QuotedWriter();

/** A message with places left open, for letters of one shape. */
export class Plate {
  /** The body of all letters, where nothing is open in it. */
  private readonly shared: readonly Buffer[] | undefined;

  /** @param body a Buffer in it is whole lines, and the same in all letters */
  constructor(
    private readonly headers: readonly (string | { name: string; slot: HeaderSlot })[],
    private readonly body: readonly (string | Buffer | BodySlot)[],
  ) {
    if (body.every((part) => !isSlot(part))) this.shared = this.write(NOBODY);
  }

  /** Undefined when a part is empty. @throws MergeError */
  print(letter: Letter, messageId: string): Encoded | undefined {
    let headers = '';
    for (const line of this.headers) {
      if (typeof line === 'string') headers += line;
      else {
        const own = line.slot(letter, messageId, line.name);
        if (own !== '') headers += `${own}\r\n`;
      }
    }
    const body = this.shared ?? this.write(letter);
    return body && { headers: Buffer.from(`${headers}\r\n`), body };
  }

  private write(letter: Letter): readonly Buffer[] | undefined {
    const pieces: Buffer[] = [];
    writer.reset();
    for (const part of this.body) {
      if (typeof part === 'string') writer.raw(part);
      else if (isSlot(part)) {
        writer.begin();
        if (!part.write(letter, writer)) return undefined;
      } else {
        if (writer.size > 0) pieces.push(writer.copy());
        pieces.push(part);
        writer.reset();
      }
    }
    writer.end();
    if (writer.size > 0) pieces.push(writer.copy());
    return pieces;
  }
}

function isSlot(part: string | Buffer | BodySlot): part is BodySlot {
  return typeof part === 'object' && !Buffer.isBuffer(part);
}

const NOBODY: Letter = { to: [] };
