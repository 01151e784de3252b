import { createTransport } from 'nodemailer';
import { AHEAD, direct } from './direct.js';
import type { Boot } from './sender.js';

export const bootPooled: Boot = async ({ sink, connections = 10 }) => {
  const transport = createTransport(poolOf(sink, connections));
  return direct((letter) => transport.sendMail(letter), connections * AHEAD);
};

/** nodemailer's pool at its best: replacing a connection, by default after 100 messages, costs it 100 ms. */
export function poolOf(sink: string, maxConnections: number) {
  const { hostname: host, port } = new URL(sink);
  return { pool: true as const, host, port: Number(port), maxConnections, maxMessages: Infinity };
}
