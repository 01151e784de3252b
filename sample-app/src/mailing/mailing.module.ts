import { Module } from '@nestjs/common';
import { MailModule } from 'nestjs-priority-mail';
import { NewCommentMail } from '../comments/new-comment.mail.js';
import { InvoiceMail } from '../invoices/invoice.mail.js';
import { PasswordResetMail } from '../password-resets/password-reset.mail.js';
import { NewPostMail } from '../posts/new-post.mail.js';
import { SettingsModule } from '../settings/settings.module.js';
import { MailOptions } from './mail-options.js';

/** The mailer and its mail classes, the same for the site and for workers in processes of their own. */
@Module({
  imports: [SettingsModule, MailModule.forRootAsync({ useClass: MailOptions })],
  providers: [PasswordResetMail, NewPostMail, NewCommentMail, InvoiceMail],
})
export class MailingModule {}
