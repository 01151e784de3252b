import { Controller, Get, NotFoundException, Param } from '@nestjs/common';
import { MailService, type MailStatus } from 'nestjs-priority-mail';

@Controller('mails')
export class MailsController {
  constructor(private readonly mail: MailService) {}

  @Get(':id')
  async get(@Param('id') id: string): Promise<MailStatus> {
    const status = await this.mail.status(id);
    if (!status) throw new NotFoundException('There is no such mail, or it ended too long ago.');
    return status;
  }
}
