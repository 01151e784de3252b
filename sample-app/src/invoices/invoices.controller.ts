import { Body, Controller, HttpCode, HttpStatus, Post } from '@nestjs/common';
import type { MailReceipt } from 'nestjs-priority-mail';
import { CreateInvoiceDto } from './create-invoice.dto.js';
import { InvoicesService } from './invoices.service.js';

@Controller('invoices')
export class InvoicesController {
  constructor(private readonly invoices: InvoicesService) {}

  @Post()
  create(@Body() { email }: CreateInvoiceDto): Promise<MailReceipt> {
    return this.invoices.send(email);
  }

  /** One for each member. */
  @Post('yearly')
  @HttpCode(HttpStatus.ACCEPTED)
  createAll(): Promise<{ queued: number }> {
    return this.invoices.sendAll();
  }
}
