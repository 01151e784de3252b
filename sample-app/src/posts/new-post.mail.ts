import { Mail, type Mailable, type MailableContent } from 'nestjs-priority-mail';
import { Settings } from '../settings/settings.js';

export interface NewPost {
  id: string;
  author: string;
  title: string;
  text: string;
  /** The reader's. */
  name?: string;
}

/** What followers get. The queue holds its data; the worker makes the mail, in the language of each. */
@Mail({ name: 'new-post', lane: 'bulk', unsubscribe: true })
export class NewPostMail implements Mailable<NewPost> {
  constructor(private readonly settings: Settings) {}

  render({ id, ...post }: NewPost): MailableContent {
    return {
      template: 'new-post',
      context: { ...post, link: `${this.settings.siteUrl}/#${id}` },
      headers: { 'X-Post': id },
    };
  }
}
