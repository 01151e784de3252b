/** The life of a store's connection: opened at most once at a time, tried again after a failure, closed once. */
export class Opening<T> {
  private attempt: Promise<T> | undefined;
  private resolveOpened!: () => void;
  /** Resolves with the first success. */
  readonly opened = new Promise<void>((resolve) => (this.resolveOpened = resolve));
  closed = false;

  constructor(private readonly start: () => Promise<T>) {}

  get(): Promise<T> {
    if (this.closed) return Promise.reject(new Error("The mail queue's store is closed"));
    this.attempt ??= this.start().then(
      (result) => {
        this.resolveOpened();
        return result;
      },
      (error: unknown) => {
        this.attempt = undefined;
        throw error;
      },
    );
    return this.attempt;
  }

  /** What was open has ended by itself: the next call opens it anew. */
  reset(): void {
    this.attempt = undefined;
  }

  /** What is open, once an attempt under way has ended; from now on nothing is opened any more. */
  async close(): Promise<T | undefined> {
    this.closed = true;
    return this.attempt?.catch(() => undefined);
  }
}
