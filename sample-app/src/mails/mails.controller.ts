import { Controller, Get, NotFoundException, Param } from '@nestjs/common';
import { MailService, type MailStats, type MailStatus } from 'nestjs-priority-mail';
import { MailLog, type MailLogEntry } from './mail-log.js';

@Controller('mails')
export class MailsController {
  constructor(
    private readonly mail: MailService,
    private readonly log: MailLog,
  ) {}

  @Get('latest')
  latest(): readonly MailLogEntry[] {
    return this.log.latest();
  }

  /** Both lanes, all mail servers and all processes. */
  @Get('stats')
  stats(): Promise<MailStats> {
    return this.mail.stats({ since: '1h' });
  }

  @Get(':id')
  async get(@Param('id') id: string): Promise<MailStatus> {
    const status = await this.mail.status(id);
    if (!status) throw new NotFoundException('There is no such mail, or it ended too long ago.');
    return status;
  }
}
