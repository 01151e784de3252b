import { Module } from '@nestjs/common';
import { MailLog } from './mail-log.js';
import { MailsController } from './mails.controller.js';

@Module({ controllers: [MailsController], providers: [MailLog] })
export class MailsModule {}
