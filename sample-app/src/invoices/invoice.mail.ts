import { Mail, type Mailable, type MailableContent } from 'nestjs-priority-mail';

export interface InvoiceData {
  number: string;
  amount: string;
}

/** Goes by either lane; its PDF is attached by whoever sends it. */
@Mail({ name: 'invoice' })
export class InvoiceMail implements Mailable<InvoiceData> {
  render(invoice: InvoiceData): MailableContent {
    return { template: 'invoice', context: invoice, headers: { 'X-Invoice': invoice.number } };
  }
}
