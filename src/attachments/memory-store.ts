import { Readable } from 'node:stream';
import { buffer } from 'node:stream/consumers';
import type { AttachmentStore, StoredBlob } from './attachment-store.js';
import { checkName } from './blob-name.js';

/** Attachments in this process's memory: for tests, and for a queue that is in memory as well. */
export class MemoryAttachmentStore implements AttachmentStore {
  readonly location = 'memory:';
  private readonly blobs = new Map<string, { content: Buffer; writtenAt: number }>();

  async write(name: string, content: Readable, bytes: number): Promise<void> {
    checkName(name);
    const all = await buffer(content);
    if (all.length !== bytes) throw new Error(`${all.length} bytes came for ${name} in place of ${bytes}`);
    this.blobs.set(name, { content: all, writtenAt: Date.now() });
  }

  async read(name: string): Promise<Readable | undefined> {
    checkName(name);
    const known = this.blobs.get(name);
    return known && Readable.from([known.content], { objectMode: false });
  }

  async find(names: readonly string[]): Promise<Map<string, StoredBlob>> {
    names.forEach(checkName);
    const found = names.map((name) => this.known(name)).filter((blob) => blob !== undefined);
    return new Map(found.map((blob) => [blob.name, blob]));
  }

  async delete(names: readonly string[]): Promise<void> {
    names.forEach(checkName);
    for (const name of names) this.blobs.delete(name);
  }

  async *list(): AsyncIterable<StoredBlob> {
    for (const name of [...this.blobs.keys()]) {
      const blob = this.known(name);
      if (blob) yield await Promise.resolve(blob);
    }
  }

  private known(name: string): StoredBlob | undefined {
    const known = this.blobs.get(name);
    return known && { name, bytes: known.content.length, writtenAt: known.writtenAt };
  }
}
