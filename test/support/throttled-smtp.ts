import { createServer, type Socket } from 'node:net';
import { atEnd } from './cleanup.js';
import { Listener } from './listener.js';

export interface ThrottledSmtpOptions {
  /** Messages that it takes in any second; the next one's MAIL is answered with 421, and the connection closed. */
  perSecond?: number;
  /** Milliseconds until it answers to a message, during which the connection waits. Default 0. */
  delay?: number;
}

const GREETING = ['250-throttled.test', '250-PIPELINING', '250 8BITMIME', ''].join('\r\n');

/** An SMTP server that takes so many messages a second and throws them away. */
export class ThrottledSmtp {
  accepted = 0;
  refused = 0;
  /** May be changed at any time. */
  delay: number;
  readonly url: string;
  readonly #listener: Listener;
  readonly #sockets: Set<Socket>;

  constructor(listener: Listener, sockets: Set<Socket>, delay: number) {
    this.url = `smtp://127.0.0.1:${listener.port}`;
    this.delay = delay;
    this.#listener = listener;
    this.#sockets = sockets;
  }

  stop(): void {
    this.#listener.pause();
    for (const socket of this.#sockets) socket.destroy();
  }
}

export async function startThrottledSmtp({
  perSecond = Infinity,
  delay = 0,
}: ThrottledSmtpOptions = {}): Promise<ThrottledSmtp> {
  const sockets = new Set<Socket>();
  let times: number[] = [];
  const takes = (): boolean => {
    const now = performance.now();
    if (times.length >= perSecond) times = times.filter((time) => time > now - 1_000);
    if (times.length >= perSecond) return false;
    if (perSecond < Infinity) times.push(now);
    return true;
  };
  const tcp = createServer({ noDelay: true }, (socket) => {
    sockets.add(socket);
    socket.once('close', () => sockets.delete(socket));
    socket.on('error', () => socket.destroy());
    converse(socket, server, takes);
  });
  const server = new ThrottledSmtp(await Listener.open(tcp), sockets, delay);
  atEnd(() => server.stop());
  return server;
}

function converse(socket: Socket, server: ThrottledSmtp, takes: () => boolean): void {
  let unread = '';
  let inMessage = false;
  let busy = false;
  const say = (reply: string): void => void socket.write(`${reply}\r\n`);

  /** One command or one message; false when there is none yet. */
  const step = (): boolean => {
    const mark = inMessage ? '\r\n.\r\n' : '\r\n';
    const end = unread.indexOf(mark);
    if (end < 0 || busy || socket.writableEnded) return false;
    const line = unread.slice(0, end);
    unread = unread.slice(end + mark.length);
    if (inMessage) took();
    else answer(line.slice(0, 4).toUpperCase());
    return true;
  };
  const took = (): void => {
    inMessage = false;
    busy = true;
    const done = (): void => {
      busy = false;
      server.accepted++;
      say('250 2.0.0 Ok: queued');
      while (step());
    };
    if (server.delay > 0) setTimeout(done, server.delay);
    else done();
  };
  const answer = (verb: string): void => {
    if (verb === 'EHLO') return void socket.write(GREETING);
    if (verb === 'DATA') {
      inMessage = true;
      return say('354 Go on');
    }
    if (verb === 'QUIT') return void socket.end('221 2.0.0 Bye\r\n');
    if (verb !== 'MAIL' || takes()) return say('250 2.0.0 Ok');
    server.refused++;
    socket.end('421 4.7.0 Too many messages, come back later\r\n');
  };

  say('220 throttled.test ESMTP');
  socket.setEncoding('latin1').on('data', (text: string) => {
    unread += text;
    while (step());
  });
}
