import { Mail, type Mailable, type MailableContent } from 'nestjs-priority-mail';
import { Settings } from '../settings/settings.js';

export interface NewComment {
  /** The reader's. */
  name: string;
  postId: string;
  title: string;
  author: string;
  text: string;
}

@Mail({ name: 'new-comment', lane: 'bulk' })
export class NewCommentMail implements Mailable<NewComment> {
  constructor(private readonly settings: Settings) {}

  render({ postId, ...comment }: NewComment): MailableContent {
    return { template: 'new-comment', context: { ...comment, link: `${this.settings.siteUrl}/#${postId}` } };
  }
}
