import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import type { MailStatus } from '../queue/status.js';
import { csvRecord } from '../message/csv.js';
import { writeCsvFile } from './csv-file.js';
import type { Output } from './output.js';

/** The columns of a list. */
export const COLUMNS = ['address', 'id', 'state', 'reply', 'attempts', 'at'] as const;

/** Recipients of a campaign on their way out, however many they are. */
export class RecipientList {
  private recipients = 0;

  constructor(private readonly messages: AsyncIterable<MailStatus>) {}

  /** As CSV, or the messages as a line of JSON each. */
  async print({ stdout, json }: Output): Promise<void> {
    await pipeline(Readable.from(json ? this.jsonLines() : this.csv()), stdout, { end: false });
  }

  /** As CSV into a file. Returns how many recipients those are. */
  async save(file: string): Promise<number> {
    await writeCsvFile(file, this.csv());
    return this.recipients;
  }

  private csv(): AsyncIterable<string> {
    return csvOf(this.messages, () => this.recipients++);
  }

  private async *jsonLines(): AsyncIterable<string> {
    for await (const message of this.messages) yield `${JSON.stringify(message)}\n`;
  }
}

/**
 * A record for each recipient, behind a heading.
 *
 * @param onRecipient called for each of them
 */
export async function* csvOf(messages: AsyncIterable<MailStatus>, onRecipient: () => void): AsyncIterable<string> {
  yield csvRecord(COLUMNS);
  for await (const { id, recipients } of messages) {
    for (const { address, state, reply = '', attempts, at } of recipients) {
      onRecipient();
      yield csvRecord([address, id, state, reply, String(attempts), at?.toISOString() ?? '']);
    }
  }
}
