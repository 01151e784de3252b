import { Opening } from '../store/opening.js';
import type { MemoryStore } from '../store/store.js';
import { MemoryRecords } from './memory-records.js';

/** A store that is there from the start, and gone with the process. */
export class Memory implements MemoryStore {
  readonly kind = 'memory';
  readonly records = new MemoryRecords();
  private readonly opening = new Opening(() => Promise.resolve());

  get opened(): Promise<void> {
    return this.opening.opened;
  }

  get closed(): boolean {
    return this.opening.closed;
  }

  ready(): Promise<void> {
    return this.opening.get();
  }

  exists(): Promise<boolean> {
    return Promise.resolve(true);
  }

  async close(): Promise<void> {
    await this.opening.close();
  }
}
