import { Controller, Delete, Get, HttpCode, HttpStatus, NotFoundException, Param } from '@nestjs/common';
import { MailService, type Suppression } from 'nestjs-priority-mail';

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

  @Delete(':address')
  @HttpCode(HttpStatus.NO_CONTENT)
  async remove(@Param('address') address: string): Promise<void> {
    if (!(await this.mail.suppressions.remove(address))) throw new NotFoundException(`${address} gets mail already.`);
  }
}
