import { Injectable, NotFoundException } from '@nestjs/common';
import { MailService, ReturnPaths, type MailReading } from 'nestjs-priority-mail';
import { BOUNCES } from '../mailing/mail-options.js';
import { PostsService } from '../posts/posts.service.js';
import { Settings } from '../settings/settings.js';
import { returnedMail } from './returned-mail.js';

@Injectable()
export class BouncesService {
  constructor(
    private readonly mail: MailService,
    private readonly posts: PostsService,
    private readonly settings: Settings,
  ) {}

  /**
   * Stands in for a mail server that returns the mail of the latest post to this reader. In an application such mails come from
   * the mailbox that the option `bounces` names.
   */
  async pretend(address: string): Promise<MailReading> {
    const [post] = this.posts.latest();
    const mail = post && (await this.mailOf(post.id, address));
    if (!mail) throw new NotFoundException(`The latest post was not sent to ${address}.`);
    const raw = returnedMail({
      ...mail,
      address,
      status: '5.1.1',
      reply: '550 5.1.1 No such user here',
    });
    return this.mail.feedback.readMail(raw);
  }

  private async mailOf(campaign: string, address: string): Promise<{ messageId: string; sender: string } | undefined> {
    // What the envelope said: the mail's own address, signed for this reader. Without it nothing that comes back is believed.
    const senders = new ReturnPaths(BOUNCES, [Buffer.from(this.settings.mailSecret)]);
    for await (const { id, messageId, recipients } of this.mail.recipients(campaign)) {
      if (recipients.some((recipient) => recipient.address === address)) {
        return { messageId, sender: senders.of(id, [address]) };
      }
    }
    return undefined;
  }
}
