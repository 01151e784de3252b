/**
 * A message as RFC 5322 bytes with CRLF line ends, not yet dot-stuffed. Messages that share their body share it as one object,
 * and those that share an attachment share its Buffer, so that what is found out about them once holds for all.
 */
export interface Encoded {
  /** The header block with the empty line that ends it. */
  headers: Buffer;
  /** What comes after the empty line, in pieces of whole lines; most messages have one. Ends with CRLF unless it is empty. */
  body: readonly Buffer[];
}

/** As one piece. */
export function rawOf({ headers, body }: Encoded): Buffer {
  return Buffer.concat([headers, ...body]);
}

/** Its octets. */
export function sizeOf({ headers, body }: Encoded): number {
  let size = headers.length;
  for (const piece of body) size += piece.length;
  return size;
}
