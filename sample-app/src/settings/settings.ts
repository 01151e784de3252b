import { Injectable } from '@nestjs/common';
import { resolve } from 'node:path';
import { pathToFileURL } from 'node:url';

const root = resolve(import.meta.dirname, '../..');

/** What the environment says; sample-app/README.md lists the variables. */
@Injectable()
export class Settings {
  readonly production = process.env['NODE_ENV'] === 'production';
  readonly port = Number(process.env['PORT'] ?? 3000);
  /** Where links in mails lead. */
  readonly siteUrl = process.env['SITE_URL'] ?? `http://127.0.0.1:${this.port}`;
  readonly smtpUrl = process.env['SMTP_URL'] ?? 'smtp://127.0.0.1:1025';
  readonly inboxUrl = process.env['INBOX_URL'] ?? (process.env['SMTP_URL'] ? undefined : 'http://127.0.0.1:1080');
  readonly queueUrl = process.env['QUEUE_URL'] ?? 'pglite://./.mail-queue';
  /** Where attachments of queued mail lie. Undefined: beside the embedded queue. */
  readonly attachmentsUrl =
    process.env['ATTACHMENTS_URL'] ?? (this.queueIsShared ? pathToFileURL('.mail-attachments').href : undefined);
  /** The same in all processes that send, and in the one that serves the links. */
  readonly mailSecret =
    process.env['MAIL_SECRET'] ?? (this.production ? '' : 'for-the-demo-alone-and-no-secret-at-all');
  readonly worker = process.env['WORKER'] !== 'off';
  readonly followersFile = process.env['FOLLOWERS_FILE'] ?? resolve(root, 'data/followers.csv');

  /** The embedded queue belongs to one process; Redis and PostgreSQL serve any number. */
  get queueIsShared(): boolean {
    return !this.queueUrl.startsWith('pglite:');
  }
}
