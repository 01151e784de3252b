import { randomBytes } from 'node:crypto';
import { Readable } from 'node:stream';
import { MailConfigError } from '../errors.js';
import type { Records } from '../store/records.js';
import type { AttachmentStore } from './attachment-store.js';

const RECORD = 'attachments/store';
/** A disk may be unmounted under a running process. */
const LOOK_AGAIN_AFTER = 30_000;
/** A bucket's lifecycle rule removes what is old. */
const WRITTEN_EVERY = 24 * 3_600_000;

/**
 * Tells whether an attachment store is the one that the queue's attachments lie in: the queue has an id, and a blob of that name
 * lies in its store. A process whose store lacks it has another one, such as a disk that is not the other machines'.
 *
 * The first process that queues an attachment makes both, the blob first, so that whoever knows the id finds the blob.
 */
export class Marker {
  private seen: { queue: string; at: number } | undefined;

  /** @param adopt the id of a queue whose store was lost, and whose place this one takes */
  constructor(
    private readonly store: AttachmentStore,
    private readonly records: Records,
    private readonly adopt?: string,
  ) {}

  /**
   * The queue's id, with which the names of its blobs begin. Undefined while it has none, as nothing was ever kept.
   *
   * @throws MailConfigError when the store is another one
   */
  async look(): Promise<string | undefined> {
    const { seen } = this;
    if (seen && Date.now() - seen.at < LOOK_AGAIN_AFTER) return seen.queue;
    const [fields] = await this.records.get([RECORD]);
    const queue = fields?.['queue'];
    if (queue === undefined) return undefined;
    const found = (await this.store.find([markerOf(queue)])).get(markerOf(queue));
    if (!found && this.adopt !== queue) throw this.elsewhere(queue, fields?.['location'] ?? 'unknown');
    if (!found || Date.now() - found.writtenAt > WRITTEN_EVERY) await this.mark(queue);
    this.seen = { queue, at: Date.now() };
    return queue;
  }

  /** The same; makes the queue's id, and its store this one, where there is none. */
  async claim(): Promise<string> {
    const known = await this.look();
    if (known !== undefined) return known;
    const queue = randomBytes(6).toString('hex');
    await this.mark(queue);
    const { location } = this.store;
    if (!(await this.records.putIfAbsent(RECORD, { queue, location }))) await this.store.delete([markerOf(queue)]);
    return (await this.look()) ?? this.claim();
  }

  private async mark(queue: string): Promise<void> {
    const text = Buffer.from(`The attachments of a nestjs-priority-mail queue. Its id: ${queue}\n`);
    await this.store.write(markerOf(queue), Readable.from([text], { objectMode: false }), text.length);
  }

  private elsewhere(queue: string, location: string): MailConfigError {
    return new MailConfigError(
      `The attachment store ${this.store.location} is not the one that this queue's attachments lie in: it has no ${markerOf(queue)}, ` +
        `which was first written to ${location}. Set attachments.store to the same place in all processes, on a disk that all of them share. ` +
        `If you move to this one, copy everything into it first; if the old one is lost, set attachments.adopt to '${queue}'.`,
    );
  }
}

function markerOf(queue: string): string {
  return `marker-${queue}`;
}
