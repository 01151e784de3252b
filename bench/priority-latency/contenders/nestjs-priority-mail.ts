import { MailModule, MailService } from 'nestjs-priority-mail';
import { bootNest } from '../../lib/nest.js';
import type { Boot } from '../contender.js';

export const boot: Boot = async ({ host, port, user, pass, ca }) => {
  const url = `smtp://${user}:${pass}@${host}:${port}`;
  const app = await bootNest(
    MailModule.forRoot({
      // The server hangs up after 10 s of silence.
      transports: [{ name: 'main', url, tls: { ca }, keepAlive: '5s' }],
      queue: false,
    }),
  );
  const mail = app.get(MailService);
  return { send: (message) => mail.send(message), close: () => app.close() };
};
