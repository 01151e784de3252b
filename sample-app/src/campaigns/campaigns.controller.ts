import { Controller, Get, NotFoundException, Param } from '@nestjs/common';
import { MailService, type CampaignReport } from 'nestjs-priority-mail';

@Controller('campaigns')
export class CampaignsController {
  constructor(private readonly mail: MailService) {}

  @Get(':id')
  async get(@Param('id') id: string): Promise<CampaignReport> {
    const report = await this.mail.campaign(id);
    if (!report) throw new NotFoundException('There is no such campaign, or it ended too long ago.');
    return report;
  }
}
