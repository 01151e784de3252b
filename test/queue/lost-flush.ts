import { vi } from 'vitest';
import { Flusher } from '../../src/queue/flush.js';
import type { StoreUnderTest } from '../support/stores.js';
import type { TcpProxy } from '../support/tcp-proxy.js';

/** What comes last of a flush: a transaction's EXEC, a statement's Sync. */
const END: Partial<Record<StoreUnderTest['name'], string | Buffer>> = {
  redis: 'exec\r\n',
  postgres: Buffer.of(0x53, 0, 0, 0, 4),
};

/**
 * Lets the store take the whole of the next flush and cuts the line before the answer comes back.
 *
 * @param line to the store
 * @returns resolves when that has happened
 */
export function loseNextFlush({ name }: StoreUnderTest, line: TcpProxy): Promise<void> {
  const flusher = Flusher.prototype as unknown as { add: (this: unknown, ...args: unknown[]) => Promise<void> };
  const { add } = flusher;
  return new Promise((resolve) => {
    const spy = vi.spyOn(flusher, 'add').mockImplementationOnce(function (this: unknown, ...args) {
      spy.mockRestore();
      void line.cutAfter(END[name]!).then(resolve);
      return add.apply(this, args);
    });
  });
}

/** The same, and afterwards the store is away. */
export async function loseStoreAfterNextFlush(store: StoreUnderTest, line: TcpProxy): Promise<void> {
  await loseNextFlush(store, line);
  line.refuse();
  // That connection ends in order, so that the store reads all of it; the others are cut as soon as it has.
  const { open } = line;
  while (line.open >= open) await new Promise(setImmediate);
  line.cut();
}
