/**
 * A message as RFC 5322 bytes with CRLF line ends, not yet dot-stuffed. Messages that share their body share its Buffer, so
 * that what is found out about it once, such as its hash, holds for all of them.
 */
export interface Encoded {
  /** The header block with the empty line that ends it. */
  headers: Buffer;
  /** What comes after the empty line. Ends with CRLF unless it is empty. */
  body: Buffer;
}

/** As one piece. */
export function rawOf({ headers, body }: Encoded): Buffer {
  return Buffer.concat([headers, body]);
}
