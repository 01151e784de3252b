import { Injectable } from '@nestjs/common';
import { randomBytes } from 'node:crypto';
import { MailService, type MailReceipt } from 'nestjs-priority-mail';
import { MembersService } from '../members/members.service.js';
import { PasswordResetMail } from './password-reset.mail.js';

const LINK_LASTS = 60 * 60_000;

@Injectable()
export class PasswordResetsService {
  constructor(
    private readonly mail: MailService,
    private readonly members: MembersService,
  ) {}

  /**
   * The receipt holds the mail server's answer. With no server in reach the mail is queued ahead of everything, and given up
   * when the link has expired.
   */
  request(email: string): Promise<MailReceipt> {
    return this.mail.send(PasswordResetMail, {
      to: email,
      locale: this.members.withEmail(email)?.locale,
      expiresAt: Date.now() + LINK_LASTS,
      data: { token: randomBytes(24).toString('base64url') },
    });
  }
}
