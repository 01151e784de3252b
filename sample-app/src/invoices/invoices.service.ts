import { Injectable } from '@nestjs/common';
import { MailService, type MailReceipt } from 'nestjs-priority-mail';
import { MembersService } from '../members/members.service.js';
import type { Invoice } from './invoice.js';
import { InvoiceMail } from './invoice.mail.js';
import { invoicePdf } from './invoice-pdf.js';

const AMOUNT = 24;

@Injectable()
export class InvoicesService {
  private latest = 0;

  constructor(
    private readonly mail: MailService,
    private readonly members: MembersService,
  ) {}

  /** Somebody has just paid, and waits for it. */
  send(email: string): Promise<MailReceipt> {
    return this.mailTo(this.next(email), 'priority');
  }

  /** Nobody waits for these: their PDFs lie in the attachment store until the mails have left. */
  async sendAll(): Promise<{ queued: number }> {
    const receipts = await Promise.all(this.members.all().map(({ email }) => this.mailTo(this.next(email), 'bulk')));
    return { queued: receipts.length };
  }

  private mailTo(invoice: Invoice, lane: 'priority' | 'bulk'): Promise<MailReceipt> {
    const { number, email, amount } = invoice;
    return this.mail.send(InvoiceMail, {
      lane,
      to: email,
      locale: this.members.withEmail(email)?.locale,
      data: { number, amount: amount.toFixed(2) },
      attachments: [
        { filename: `invoice-${number}.pdf`, content: invoicePdf(invoice), contentType: 'application/pdf' },
      ],
    });
  }

  private next(email: string): Invoice {
    const number = `${new Date().getFullYear()}-${String(++this.latest).padStart(4, '0')}`;
    return { number, email, amount: AMOUNT };
  }
}
