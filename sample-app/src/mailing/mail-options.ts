import { Injectable } from '@nestjs/common';
import { resolve } from 'node:path';
import type { MailModuleOptions, MailOptionsFactory } from 'nestjs-priority-mail';
import { Settings } from '../settings/settings.js';

/** Where mail comes back to. */
export const BOUNCES = 'bounces@community.test';

@Injectable()
export class MailOptions implements MailOptionsFactory {
  constructor(private readonly settings: Settings) {}

  createMailOptions(): MailModuleOptions {
    const { smtpUrl, siteUrl, queueUrl, queueIsShared, attachmentsUrl, mailSecret, worker } = this.settings;
    if (!worker && !queueIsShared) {
      throw new Error('WORKER=off needs a queue that processes can share: set QUEUE_URL to redis://… or postgres://…');
    }
    return {
      from: 'Community <hello@community.test>',
      transports: [{ name: 'smtp', url: smtpUrl }],
      priority: { overflow: 'queue' },
      queue: { connection: queueUrl, ...(worker ? {} : { worker: false }) },
      ...(attachmentsUrl === undefined ? {} : { attachments: { store: attachmentsUrl } }),
      unsubscribe: { secret: mailSecret, url: `${siteUrl}/unsubscribe` },
      bounces: { address: BOUNCES, secret: mailSecret },
      templates: {
        dir: resolve(import.meta.dirname, '../../templates'),
        layout: 'community',
        defaultLocale: 'en',
        preload: true,
      },
      shutdownTimeout: '5s',
    };
  }
}
