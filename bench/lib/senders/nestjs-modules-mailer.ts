import type { DynamicModule, Type } from '@nestjs/common';
import { bootNest } from '../nest.js';
import type { Letter } from '../newsletter.js';
import { loadPeerPackage } from '../peers.js';
import { AHEAD, direct } from './direct.js';
import { poolOf } from './nodemailer.js';
import type { Boot } from './sender.js';

interface MailerPackage {
  MailerModule: { forRoot(options: { transport: object }): DynamicModule };
  MailerService: Type<{ sendMail(mail: Letter): Promise<unknown> }>;
}

async function boot(transport: object): Promise<(letter: Letter) => Promise<unknown>> {
  const { MailerModule, MailerService } = loadPeerPackage<MailerPackage>('@nestjs-modules/mailer');
  const app = await bootNest(MailerModule.forRoot({ transport }));
  const mailer = app.get(MailerService);
  return (letter) => mailer.sendMail(letter);
}

export const bootPooled: Boot = async ({ sink, connections = 10 }) =>
  direct(await boot(poolOf(sink, connections)), connections * AHEAD);

/** A connection for each mail. */
export const bootUnpooled: Boot = async ({ sink, connections = 10 }) =>
  direct(await boot({ ...poolOf(sink, connections), pool: false }), connections);
