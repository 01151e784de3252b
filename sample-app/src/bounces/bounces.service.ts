import { Injectable, NotFoundException } from '@nestjs/common';
import { MailService, type MailReading } from 'nestjs-priority-mail';
import { PostsService } from '../posts/posts.service.js';
import { returnedMail } from './returned-mail.js';

@Injectable()
export class BouncesService {
  constructor(
    private readonly mail: MailService,
    private readonly posts: PostsService,
  ) {}

  /**
   * Stands in for a mail server that returns the mail of the latest post to this reader. In an application such mails come from
   * the mailbox that the option `bounces` names.
   */
  async pretend(address: string): Promise<MailReading> {
    const [post] = this.posts.latest();
    const messageId = post && (await this.mailOf(post.id, address));
    if (messageId === undefined) throw new NotFoundException(`The latest post was not sent to ${address}.`);
    const raw = returnedMail({ address, messageId, status: '5.1.1', reply: '550 5.1.1 No such user here' });
    return this.mail.feedback.readMail(raw);
  }

  private async mailOf(campaign: string, address: string): Promise<string | undefined> {
    for await (const { messageId, recipients } of this.mail.recipients(campaign)) {
      if (recipients.some((recipient) => recipient.address === address)) return messageId;
    }
    return undefined;
  }
}
