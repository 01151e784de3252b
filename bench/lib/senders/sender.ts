import type { Issue } from '../newsletter.js';

/** One way to get a newsletter to its subscribers, booted as an application would. */
export interface Sender {
  /** Takes it in, durably where there is a queue, and delivers nothing yet. */
  queue(issue: Issue): Promise<void>;
  /** Delivers what was taken in; those with a queue may resolve as soon as their worker has started. */
  deliver(): Promise<void>;
  /** Resolves when nothing is left to do or to write down. @throws when a mail was not sent */
  settle(): Promise<void>;
}

export interface SenderOptions {
  /** URL of the SMTP server. */
  sink: string;
  /** Further servers, of ours. */
  others?: string[];
  /** URL of the queue's store, for those with a queue. */
  store?: string;
  /** Default 10. */
  connections?: number;
  /** False for one that only queues. */
  worker?: boolean;
  /** Of ours. Default: the package's. */
  batch?: { size?: number; maxBytes?: number };
  /** Of ours. Default: the package's. */
  batches?: number;
}

export type Boot = (options: SenderOptions) => Promise<Sender>;

export type Store = 'redis' | 'postgres' | 'embedded';

interface Entry {
  file: string;
  /** The name of its boot function in that file. */
  boot: string;
  store?: Store;
}

/** All there are, by the names they go by in tables. */
export const SENDERS = {
  'sendBulk()': { file: 'priority-mail', boot: 'bootSendBulk', store: 'redis' },
  'send() on the bulk lane': { file: 'priority-mail', boot: 'bootSend', store: 'redis' },
  'sendBulk(), PostgreSQL': { file: 'priority-mail', boot: 'bootSendBulk', store: 'postgres' },
  'sendBulk(), embedded store': { file: 'priority-mail', boot: 'bootSendBulk', store: 'embedded' },
  'a BullMQ job per mail': { file: 'job-per-mail', boot: 'bootAddBulk', store: 'redis' },
  'a BullMQ job per mail, add() in a loop': { file: 'job-per-mail', boot: 'bootAdd', store: 'redis' },
  'nodemailer, pooled': { file: 'nodemailer', boot: 'bootPooled' },
  '@nestjs-modules/mailer': { file: 'nestjs-modules-mailer', boot: 'bootUnpooled' },
  '@nestjs-modules/mailer, pooled': { file: 'nestjs-modules-mailer', boot: 'bootPooled' },
  '@nestjs/mail, pooled': { file: 'nestjs-mail', boot: 'bootPooled' },
} as const satisfies Record<string, Entry>;

export type SenderName = keyof typeof SENDERS;

export function storeOf(name: SenderName): Store | undefined {
  const entry: Entry = SENDERS[name];
  return entry.store;
}

/** Loads the code of one and of no other. */
export async function bootSender(name: SenderName, options: SenderOptions): Promise<Sender> {
  const { file, boot }: Entry = SENDERS[name];
  const module = (await import(`./${file}.js`)) as Record<string, Boot>;
  return module[boot]!(options);
}
