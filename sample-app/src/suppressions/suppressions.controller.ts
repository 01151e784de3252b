import { Controller, Delete, Get, HttpCode, HttpStatus, NotFoundException, Param, Query } from '@nestjs/common';
import { MailService, type Suppression, type SuppressionReason, type SuppressionScope } from 'nestjs-priority-mail';

const SHOWN = 20;

@Controller('suppressions')
export class SuppressionsController {
  constructor(private readonly mail: MailService) {}

  /** Some of those who get no more mail, the latest first. */
  @Get()
  async latest(): Promise<Suppression[]> {
    const all: Suppression[] = [];
    for await (const one of this.mail.suppressions.list()) all.push(one);
    return all.sort((a, b) => b.since.getTime() - a.since.getTime()).slice(0, SHOWN);
  }

  /** An unsubscription by its reason alone. */
  @Delete(':address')
  @HttpCode(HttpStatus.NO_CONTENT)
  async remove(
    @Param('address') address: string,
    @Query('reason') reason?: SuppressionReason,
    @Query('scope') scope?: SuppressionScope,
  ): Promise<void> {
    const which = { ...(reason ? { reason } : {}), ...(scope ? { scope } : {}) };
    const removed = await this.mail.suppressions.remove(address, which);
    if (!removed) throw new NotFoundException(`${address} gets mail already.`);
  }
}
