import type { Issue } from '../lib/newsletter.js';
import { usedMemory } from '../lib/redis-memory.js';
import { type Delivery, RemoteSender } from '../lib/senders/remote-sender.js';
import { type SenderName, storeOf } from '../lib/senders/sender.js';
import type { Sink } from '../lib/sink.js';
import { storeFor } from '../lib/stores.js';
import type { Verified } from '../lib/verify.js';

export interface Run extends Delivery {
  sender: SenderName;
  /** Redis's for each mail while all of them wait there. */
  storeBytes?: number;
}

/** One server, and all who send to it, one after the other. */
export class Field {
  readonly runs: Run[] = [];
  readonly verified = new Map<SenderName, Verified>();
  /** Mails a second of smtp-source. */
  readonly source: number[] = [];
  readonly #sink: Sink;
  readonly #senders = new Map<SenderName, { process: RemoteSender; store: string | undefined }>();

  constructor(sink: Sink) {
    this.#sink = sink;
  }

  async enter(name: SenderName): Promise<void> {
    const store = await storeFor(name);
    this.#senders.set(name, { process: await RemoteSender.start(name, { sink: this.#sink.url, store }), store });
  }

  async warmUp(name: SenderName, issue: Issue): Promise<void> {
    await this.#senders.get(name)?.process.run(issue, this.#sink);
  }

  async run(name: SenderName, issue: Issue): Promise<void> {
    const sender = this.#senders.get(name);
    if (!sender) return;
    const memory = () => (storeOf(name) === 'redis' && sender.store ? usedMemory(sender.store) : Promise.resolve(NaN));
    const empty = await memory();
    let full = NaN;
    const delivery = await sender.process.run(issue, this.#sink, async () => {
      full = await memory();
    });
    const storeBytes = (full - empty) / issue.count;
    this.runs.push({ sender: name, ...delivery, ...(Number.isNaN(storeBytes) ? {} : { storeBytes }) });
  }
}
