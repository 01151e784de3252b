import { Module } from '@nestjs/common';
import { MailModule } from 'nestjs-priority-mail';
import { SettingsModule } from '../settings/settings.module.js';
import { MailOptions } from './mail-options.js';

/** The mailer, the same for the site and for workers in processes of their own. */
@Module({
  imports: [SettingsModule, MailModule.forRootAsync({ useClass: MailOptions })],
})
export class MailingModule {}
