import type { SMTPConnectionAuth } from 'nodemailer/lib/smtp-connection';
import XOAuth2, { type XOAuth2Options } from 'nodemailer/lib/xoauth2';

/** SASL mechanisms with a password (RFC 4616, RFC 2195 and the LOGIN of old). */
export const PASSWORD_METHODS = ['PLAIN', 'LOGIN', 'CRAM-MD5'] as const;

/** How to log in: with a password, or with OAuth 2.0 access tokens in nodemailer's shape (XOAUTH2). */
export type SmtpLogin =
  | { type?: 'login'; user: string; pass: string; method?: (typeof PASSWORD_METHODS)[number] }
  | ({ type: 'OAuth2'; user: string } & Omit<XOAuth2Options, 'user'>);

/** Makes nodemailer's login data anew for each connection; access tokens are kept and renewed for all of them. */
export function loginData(login: SmtpLogin | undefined): (() => SMTPConnectionAuth) | undefined {
  if (!login) return undefined;
  if (login.type === 'OAuth2') {
    const { type: _, ...options } = login;
    const oauth2 = new XOAuth2(options);
    // Each failure comes through the login's callback as well.
    oauth2.on('error', () => undefined);
    return () => ({ user: login.user, oauth2, method: 'XOAUTH2' });
  }
  const { user, pass, method } = login;
  return () => ({ user, credentials: { user, pass }, ...(method ? { method } : {}) });
}
