/**
 * Why a blob's bytes are not to be had, or not to be trusted. `away` may pass by itself; the others take somebody who puts the
 * blob, the key or the options right.
 */
export type UnavailableReason = 'missing' | 'locked' | 'damaged' | 'elsewhere' | 'away';

/** A blob cannot be read. Its message is what stands behind the blob's name in a sentence: “is not in … any more”. */
export class BlobUnavailable extends Error {
  override readonly name = 'BlobUnavailable';

  constructor(
    readonly reason: UnavailableReason,
    message: string,
    options?: ErrorOptions,
  ) {
    super(message, options);
  }
}
