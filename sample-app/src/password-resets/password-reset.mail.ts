import { Mail, type Mailable, type MailableContent } from 'nestjs-priority-mail';
import { Settings } from '../settings/settings.js';

/** Somebody waits for this one: it goes out while the request runs. */
@Mail({ name: 'password-reset', lane: 'priority' })
export class PasswordResetMail implements Mailable<{ token: string }> {
  constructor(private readonly settings: Settings) {}

  render({ token }: { token: string }): MailableContent {
    return { template: 'password-reset', context: { link: `${this.settings.siteUrl}/?reset=${token}` } };
  }
}
