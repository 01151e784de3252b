interface Waiter<T> {
  resolve: (value: T) => void;
  reject: (error: Error) => void;
}

export interface WaitOptions {
  signal: AbortSignal;
  /** Milliseconds; default no limit but the signal. */
  within: number | undefined;
  /** Half of that time has passed. */
  onHalf: () => void;
  /** It leaves without having got anything, having waited since then (`performance.now()`). */
  onLeave: (since: number) => void;
}

/** Those who wait for something that comes one at a time: first come, first served. */
export class WaitingLine<T> {
  private readonly waiters: Waiter<T>[] = [];

  get length(): number {
    return this.waiters.length;
  }

  wait({ signal, within, onHalf, onLeave }: WaitOptions): Promise<T> {
    return new Promise((resolve, reject) => {
      const since = performance.now();
      const leave = (reason: Error): void => {
        this.waiters.splice(this.waiters.indexOf(waiter), 1);
        waiter.reject(reason);
        onLeave(since);
      };
      const abort = (): void => leave(signal.reason as Error);
      const late = (): void => leave(new Error(`No connection was ready within ${Math.round(within!)} ms`));
      const timers = within === undefined ? [] : [setTimeout(late, within), setTimeout(onHalf, within / 2)];
      const settle = (action: () => void): void => {
        for (const timer of timers) clearTimeout(timer);
        signal.removeEventListener('abort', abort);
        action();
      };
      const waiter: Waiter<T> = {
        resolve: (value) => settle(() => resolve(value)),
        reject: (error) => settle(() => reject(error)),
      };
      signal.addEventListener('abort', abort, { once: true });
      this.waiters.push(waiter);
    });
  }

  /** Gives it to the first in line. False when nobody waits. */
  serve(value: T): boolean {
    const first = this.waiters.shift();
    first?.resolve(value);
    return first !== undefined;
  }

  dismiss(error: Error): void {
    for (const waiter of this.waiters.splice(0)) waiter.reject(error);
  }
}
