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
}

/** A header line of its own for each letter; empty for none. */
export type HeaderSlot = (letter: Letter, messageId: string, name: string) => string;
/** Writes a part of the body; false when it is empty, which would be another kind of message. */
export type BodySlot = { write: (letter: Letter, writer: QuotedWriter) => boolean };

const writer = new QuotedWriter();

/** A message with places left open, for letters of one shape. */
export class Plate {
  /** The body of all letters, where nothing is open in it. */
  private readonly shared: Buffer | undefined;

  constructor(
    private readonly headers: readonly (string | { name: string; slot: HeaderSlot })[],
    private readonly body: readonly (string | BodySlot)[],
  ) {
    if (body.every((part) => typeof part === 'string')) this.shared = this.write(NOBODY);
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

  private write(letter: Letter): Buffer | undefined {
    writer.reset();
    for (const part of this.body) {
      if (typeof part === 'string') {
        writer.raw(part);
        continue;
      }
      writer.begin();
      if (!part.write(letter, writer)) return undefined;
    }
    writer.end();
    return writer.copy();
  }
}

const NOBODY: Letter = { to: [] };
