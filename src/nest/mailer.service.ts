import { parseAddresses, type Address, type AddressInput } from '../message/address.js';
import { stripped, type Classifier } from '../message/classify.js';
import type { MailMessageInput } from '../message/message.js';
import type { MailService } from './mail.service.js';
import { toMessage, type ISendMailOptions } from './mailer-options.js';
import type { MailReceipt } from './sender.js';

/** What `sendMail()` gives, in nodemailer's shape. */
export interface SentMessageInfo {
  messageId: string;
  envelope: { from: string; to: string[] };
  /** Addresses that the mail server has taken. None as long as the mail is only queued. */
  accepted: string[];
  /** Addresses it refused while it took the others. */
  rejected: string[];
  /** Addresses that the mail has not been sent to yet: it is queued, or collected until its request succeeds. */
  pending: string[];
  /** The mail server's reply; of a mail that was not sent yet that it is queued or collected, and its id. */
  response: string;
  /** What `MailService.send()` gave, with the id for `status()`. */
  receipt: MailReceipt;
}

/**
 * The `MailerService` of `@nestjs-modules/mailer`, for applications that move from it one call after the other. It is
 * `MailService.send()` behind the other's options: validation, lanes and templates are the same.
 *
 * ```ts
 * await mailer.sendMail({ to: user.email, subject: 'Welcome', template: './welcome', context: { name: user.name } });
 * ```
 */
export class MailerService {
  /** @internal */
  constructor(
    private readonly mail: Pick<MailService, 'send' | 'verify'>,
    private readonly from: Address | undefined,
    private readonly classify: readonly Classifier[],
  ) {}

  /**
   * Sends one message. It resolves when a mail server has taken it, or when it is durably queued; then `accepted` is empty.
   *
   * @throws MailValidationError what is wrong with the message; also each option that cannot be kept here, and what to do instead
   * @throws what else `MailService.send()` does
   */
  async sendMail(options: ISendMailOptions): Promise<SentMessageInfo> {
    const message = toMessage(options);
    const receipt = await this.mail.send(message);
    const { messageId } = receipt;
    const from = this.senderOf(message.from);
    if (receipt.status === 'sent') {
      const { accepted, rejected, response } = receipt;
      const envelope = { from, to: [...accepted, ...rejected] };
      return { messageId, envelope, accepted, rejected, pending: [], response, receipt };
    }
    const to = recipientsOf(stripped(message, this.classify));
    const envelope = { from, to };
    const response = `${receipt.status} as ${receipt.id}, not sent yet`;
    return { messageId, envelope, accepted: [], rejected: [], pending: to, response, receipt };
  }

  /** Whether all transports can be connected and logged in to. `MailService.verify()` tells which cannot, and why. */
  async verifyAllTransporters(): Promise<boolean> {
    const checks = await this.mail.verify();
    return checks.every(({ ok }) => ok);
  }

  private senderOf(from: AddressInput | undefined): string {
    const [address = this.from] = from === undefined ? [] : parseAddresses(from, 'from').addresses;
    return address?.address ?? '';
  }
}

function recipientsOf({ to, cc, bcc }: MailMessageInput): string[] {
  const addresses = [to, cc, bcc].flatMap((given) => parseAddresses(given ?? [], 'to').addresses);
  return [...new Set(addresses.map(({ address }) => address))];
}
