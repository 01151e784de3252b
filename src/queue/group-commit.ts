interface Waiting<T> {
  item: T;
  resolve: () => void;
  reject: (error: unknown) => void;
}

/**
 * Writes items together: one write is under way at a time, and the next one carries all that came meanwhile. An item
 * that comes while nothing is under way is written at the end of the current turn of the event loop.
 */
export class GroupCommit<T> {
  private waiting: Waiting<T>[] = [];
  private writing: Promise<void> | undefined;
  private startedAt = 0;

  /**
   * @param write takes all of its items or none
   * @param maxWeight of one write; a single heavier item is written alone
   */
  constructor(
    private readonly write: (items: T[]) => Promise<void>,
    private readonly weigh: (item: T) => number = () => 1,
    private readonly maxWeight = Infinity,
  ) {}

  /** Resolves when the write that carried the item has succeeded; rejects with its error. */
  add(item: T): Promise<void> {
    return new Promise((resolve, reject) => {
      this.waiting.push({ item, resolve, reject });
      this.writing ??= this.run();
    });
  }

  /** How long the write under way has been taking, in milliseconds. */
  get lag(): number {
    return this.writing ? performance.now() - this.startedAt : 0;
  }

  /** Resolves when nothing is waiting or under way. */
  async idle(): Promise<void> {
    while (this.writing) await this.writing;
  }

  private async run(): Promise<void> {
    this.startedAt = performance.now();
    await new Promise((resolve) => setImmediate(resolve));
    while (this.waiting.length > 0) {
      this.startedAt = performance.now();
      const group = this.take();
      try {
        await this.write(group.map(({ item }) => item));
        for (const { resolve } of group) resolve();
      } catch (error) {
        for (const { reject } of group) reject(error);
      }
    }
    this.writing = undefined;
  }

  private take(): Waiting<T>[] {
    let weight = 0;
    let count = 0;
    for (const { item } of this.waiting) {
      weight += this.weigh(item);
      if (count > 0 && weight > this.maxWeight) break;
      count++;
    }
    return this.waiting.splice(0, count);
  }
}
