import { createTransport } from 'nodemailer';
import type { Boot } from '../contender.js';

export const boot: Boot = async ({ host, port, user, pass, ca }) => {
  const transport = createTransport({ pool: true, host, port, auth: { user, pass }, tls: { ca } });
  return { send: (message) => transport.sendMail(message), close: () => transport.close() };
};
