import { MailModule, Mailer, SmtpTransport } from '@nestjs/mail';
import { bootNest } from '../../lib/nest.js';
import type { Boot } from '../contender.js';

export const boot: Boot = async ({ host, port, user, pass, ca }, pooled) => {
  const transport = new SmtpTransport({ host, port, auth: { user, pass }, tls: { ca }, pool: pooled });
  const app = await bootNest(MailModule.forRoot({ transport }));
  const mailer = app.get(Mailer);
  return { send: (message) => mailer.send(message), close: () => app.close() };
};
