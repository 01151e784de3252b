import type { BenchMail } from './contender.js';

const style = 'font-family: Helvetica, Arial, sans-serif; font-size: 16px; line-height: 24px; color: #1f2933;';
const button = 'display: inline-block; padding: 12px 24px; border-radius: 4px; background: #2457c5; color: #ffffff;';

/** The mail that somebody waits for; about 2 KB. */
export function passwordReset(to: string): BenchMail {
  const link = 'https://shop.test/reset/7b0f1f9c2c1a4f9e8d3b5a6c7d8e9f00112233445566778899aabbccddeeff';
  const rows = [
    'Hello,',
    'somebody, hopefully you, asked for a new password for your account at the shop.',
    'The link below is valid for one hour and can be used once. If you did not ask for it, there is nothing to do.',
    'We never ask for your password in a mail, and we never will.',
    'Your shop',
  ];
  return {
    from: 'Shop <no-reply@shop.test>',
    to,
    subject: 'Your new password',
    text: `${rows.join('\n\n')}\n\n${link}\n`,
    html: `<html><body style="${style}">${rows.map((row) => `<p style="${style}">${row}</p>`).join('\n')}
<p><a href="${link}" style="${button}">Choose a new password</a></p></body></html>`,
  };
}
