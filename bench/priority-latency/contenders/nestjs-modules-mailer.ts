import type { DynamicModule, Type } from '@nestjs/common';
import { bootNest } from '../../lib/nest.js';
import { loadPeerPackage } from '../../lib/peers.js';
import type { BenchMail, Boot } from '../contender.js';

interface MailerPackage {
  MailerModule: { forRoot(options: { transport: object }): DynamicModule };
  MailerService: Type<{ sendMail(mail: BenchMail): Promise<unknown> }>;
}

const { MailerModule, MailerService } = loadPeerPackage<MailerPackage>('@nestjs-modules/mailer');

export const boot: Boot = async ({ host, port, user, pass, ca }, pooled) => {
  const transport = { pool: pooled, host, port, auth: { user, pass }, tls: { ca } };
  const app = await bootNest(MailerModule.forRoot({ transport }));
  const mailer = app.get(MailerService);
  return { send: (message) => mailer.sendMail(message), close: () => app.close() };
};
