import { MailModule, Mailer, SmtpTransport } from '@nestjs/mail';
import { bootNest } from '../nest.js';
import { AHEAD, direct } from './direct.js';
import type { Boot } from './sender.js';

export const bootPooled: Boot = async ({ sink, connections = 10 }) => {
  const pool = { maxConnections: connections, maxMessages: 1_000_000 };
  const transport = new SmtpTransport({ url: sink, startTls: 'never', pool });
  const app = await bootNest(MailModule.forRoot({ transport }));
  const mailer = app.get(Mailer);
  return direct((letter) => mailer.send(letter), connections * AHEAD);
};
