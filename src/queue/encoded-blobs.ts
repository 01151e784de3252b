import { Base64Writer } from '../mime/base64.js';

/** What is kept of blobs that no batch needs any more, in bytes. */
const KEPT = 64 * 1024 * 1024;

/**
 * Blobs as messages have them, in lines of base64: read once, however many batches of the process need one at a time. The last
 * ones are kept for the batches to come.
 */
export class EncodedBlobs {
  private readonly reading = new Map<string, Promise<Buffer>>();
  /** In the order in which they were needed last. */
  private readonly kept = new Map<string, Buffer>();
  private keptBytes = 0;
  /** All that are in use, also those that are not kept. */
  private readonly used = new Map<string, WeakRef<Buffer>>();
  private readonly gone = new FinalizationRegistry<string>((blob) => {
    if (this.used.get(blob)?.deref() === undefined) this.used.delete(blob);
  });

  /** @param read the content of a blob, from its beginning */
  constructor(
    private readonly read: (blob: string) => Promise<AsyncIterable<Uint8Array>>,
    private readonly limit = KEPT,
  ) {}

  /**
   * @param bytes of its content, if that is known
   * @throws what reading it does
   */
  async get(blob: string, bytes?: number): Promise<Buffer> {
    const lines = this.kept.get(blob) ?? this.used.get(blob)?.deref() ?? (await this.readOnce(blob, bytes));
    this.keep(blob, lines);
    return lines;
  }

  private readOnce(blob: string, bytes: number | undefined): Promise<Buffer> {
    const underWay = this.reading.get(blob);
    if (underWay) return underWay;
    const reading = this.encode(blob, bytes).finally(() => this.reading.delete(blob));
    this.reading.set(blob, reading);
    return reading;
  }

  private async encode(blob: string, bytes: number | undefined): Promise<Buffer> {
    const writer = new Base64Writer(bytes);
    for await (const chunk of await this.read(blob)) writer.write(chunk);
    const lines = writer.end();
    this.used.set(blob, new WeakRef(lines));
    this.gone.register(lines, blob);
    return lines;
  }

  private keep(blob: string, lines: Buffer): void {
    if (this.kept.delete(blob)) this.keptBytes -= lines.length;
    if (lines.length > this.limit) return;
    this.kept.set(blob, lines);
    this.keptBytes += lines.length;
    for (const [oldest, { length }] of this.kept) {
      if (this.keptBytes <= this.limit) return;
      this.kept.delete(oldest);
      this.keptBytes -= length;
    }
  }
}
