import type { Relay } from '../lib/mail-server.js';

export interface BenchMail {
  from: string;
  to: string;
  subject: string;
  text: string;
  html: string;
}

/** One way to send mail, booted as an application would. */
export interface Contender {
  /** Resolves when the server has accepted the mail. */
  send(mail: BenchMail): Promise<unknown>;
  close(): unknown;
}

/** @param pooled kept-open connections, for those that have them only on demand */
export type Boot = (relay: Relay, pooled: boolean) => Promise<Contender>;

interface Entry {
  file: string;
  pooled: boolean;
}

export const OURS = 'nestjs-priority-mail';

/** All that are compared, by the name they go by in tables. */
export const CONTENDERS: Readonly<Record<string, Entry>> = {
  [OURS]: { file: 'nestjs-priority-mail', pooled: true },
  '@nestjs-modules/mailer': { file: 'nestjs-modules-mailer', pooled: false },
  '@nestjs-modules/mailer, pooled': { file: 'nestjs-modules-mailer', pooled: true },
  '@nestjs/mail': { file: 'nestjs-mail', pooled: false },
  '@nestjs/mail, pooled': { file: 'nestjs-mail', pooled: true },
  'nodemailer, pooled': { file: 'nodemailer', pooled: true },
};

/** Loads the code of one contender and of no other. */
export async function loadContender(name: string): Promise<(relay: Relay) => Promise<Contender>> {
  const entry = CONTENDERS[name];
  if (!entry) throw new Error(`There is no contender ${name}`);
  const { boot } = (await import(`./contenders/${entry.file}.js`)) as { boot: Boot };
  return (relay) => boot(relay, entry.pooled);
}
