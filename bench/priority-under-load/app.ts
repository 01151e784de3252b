import { Remote } from '../lib/remote.js';
import type { AppOptions, BulkProgress, PhaseOptions, PhaseResult } from './app-process.js';
import type { BulkCounts } from './bulk-load.js';

/** An application in a process of its own. */
export class App {
  readonly #remote: Remote;

  private constructor(remote: Remote) {
    this.#remote = remote;
  }

  static async boot(options: AppOptions): Promise<App> {
    const remote = await Remote.start(new URL('./app-process.ts', import.meta.url));
    await remote.ask('boot', options);
    return new App(remote);
  }

  /** Sends priority mail at a steady rate. */
  prioritise(options: PhaseOptions): Promise<PhaseResult> {
    return this.#remote.ask('prioritise', options);
  }

  /** Keeps its worker busy until {@link endBulk}. */
  startBulk(): Promise<void> {
    return this.#remote.ask('startBulk');
  }

  bulkProgress(): Promise<BulkProgress> {
    return this.#remote.ask('bulkProgress');
  }

  endBulk(): Promise<BulkCounts> {
    return this.#remote.ask('endBulk');
  }
}
