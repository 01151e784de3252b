import { randomUUID } from 'node:crypto';
import type { MailJob, MailJobProcessor, MailJobWorker } from '../queue/backend.js';

/** Where a worker gets its jobs, and says what came of them. */
export interface JobSource {
  /** The next one that is due, which is then the caller's. */
  take(): MailJob | undefined;
  /** What the processor returned. */
  completed(job: MailJob, result: unknown): void;
  /** What it threw. */
  failed(job: MailJob, error: Error): void;
  /** Called when there may be something to take. Returns what ends that. */
  onWork(listener: () => void): () => void;
}

/** Works on a queue in memory. */
export class MemoryWorker implements MailJobWorker {
  private readonly active = new Set<Promise<void>>();
  private readonly closing = new AbortController();
  private closed: Promise<void> | undefined;

  constructor(
    private readonly source: JobSource,
    private readonly processor: MailJobProcessor,
    private readonly concurrency: number,
  ) {}

  /** Nothing goes wrong here that nobody waits for. */
  on(): this {
    return this;
  }

  async run(): Promise<void> {
    const { signal } = this.closing;
    const closed = new Promise<void>((resolve) => signal.addEventListener('abort', () => resolve(), { once: true }));
    const stop = this.source.onWork(() => this.fill());
    this.fill();
    await closed;
    stop();
  }

  close(): Promise<void> {
    this.closing.abort();
    this.closed ??= Promise.all(this.active).then(() => undefined);
    return this.closed;
  }

  private fill(): void {
    while (!this.closing.signal.aborted && this.active.size < this.concurrency) {
      const job = this.source.take();
      if (!job) return;
      const work = this.process(job).finally(() => {
        this.active.delete(work);
        this.fill();
      });
      this.active.add(work);
    }
  }

  private async process(job: MailJob): Promise<void> {
    try {
      this.source.completed(job, await this.processor(job, randomUUID()));
    } catch (error) {
      this.source.failed(job, error as Error);
    }
  }
}
