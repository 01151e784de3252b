import { Injectable } from '@nestjs/common';
import { randomBytes } from 'node:crypto';
import { MailService, type MailReceipt } from 'nestjs-priority-mail';

const LINK_LASTS = 60 * 60_000;

@Injectable()
export class PasswordResetsService {
  constructor(private readonly mail: MailService) {}

  /**
   * Somebody waits for this one: it goes out now, and the receipt holds the mail server's answer. With no server in reach it
   * is queued ahead of everything, and given up when the link has expired.
   */
  request(email: string): Promise<MailReceipt> {
    const link = `https://community.test/reset/${randomBytes(24).toString('base64url')}`;
    return this.mail.send({
      to: email,
      expiresAt: Date.now() + LINK_LASTS,
      subject: 'Choose a new password',
      text: `Hello,\n\nchoose a new password here within the next hour:\n${link}\n\nIf you did not ask for it, ignore this mail.\n`,
      html: `<p>Hello,</p><p><a href="${link}">Choose a new password</a> within the next hour.</p><p>If you did not ask for it, ignore this mail.</p>`,
    });
  }
}
