import { Interrupted } from './failure.js';

const SIGNALS = ['SIGINT', 'SIGTERM'] as const;

/** Ctrl-C or SIGTERM, once: the command ends in order. A second one ends the process at once, as if nobody listened. */
export class Interruption {
  /** Resolves with the signal. */
  readonly came: Promise<NodeJS.Signals>;
  private listener!: (signal: NodeJS.Signals) => void;

  constructor() {
    this.came = new Promise((resolve) => {
      this.listener = (signal) => {
        this.ignore();
        resolve(signal);
      };
    });
    for (const signal of SIGNALS) process.on(signal, this.listener);
  }

  /** @throws Interrupted when a signal comes first; what the work does from then on is nobody's business */
  orDone<T>(work: Promise<T>): Promise<T> {
    const interrupted = this.came.then((signal) => Promise.reject(new Interrupted(signal)));
    return Promise.race([work, interrupted]);
  }

  ignore(): void {
    for (const signal of SIGNALS) process.off(signal, this.listener);
  }
}
