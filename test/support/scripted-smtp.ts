import { type Socket, createServer } from 'node:net';
import { createInterface } from 'node:readline';
import { atEnd } from './cleanup.js';
import { Listener } from './listener.js';

/** A reply (`250-` begins a line that another follows, parted by `\n`), no reply ever, or a dropped connection. */
export type ScriptedAnswer = `${number} ${string}` | `${number}-${string}` | 'hang' | 'drop';

/**
 * Decides the answer to one command.
 *
 * @param line the command as it came; for `message` the message itself
 * @param connection number of the connection, from 1
 * @returns undefined for the answer a well-behaved server gives
 */
export type Respond = (
  line: string,
  connection: number,
) => ScriptedAnswer | undefined | Promise<ScriptedAnswer | undefined>;

export interface SmtpScript {
  /** What EHLO announces; default PIPELINING, 8BITMIME, SMTPUTF8 and SIZE. */
  capabilities?: string[];
  /** The greeting of a new connection. */
  connect?: Respond;
  ehlo?: Respond;
  helo?: Respond;
  /** Not announced by itself; behind a 220 there is silence instead of TLS. */
  starttls?: Respond;
  auth?: Respond;
  mail?: Respond;
  rcpt?: Respond;
  data?: Respond;
  /** The answer to the final dot. */
  message?: Respond;
  rset?: Respond;
  noop?: Respond;
  quit?: Respond;
}

type Step = Exclude<keyof SmtpScript, 'capabilities'>;

/** An SMTP server for misbehaviour: each step answers as its script says, and well where the script says nothing. */
export class ScriptedSmtp {
  /** Every line that clients sent, message bodies left out. */
  readonly commands: string[] = [];
  /** The messages that came in whole, accepted or not. */
  readonly messages: string[] = [];
  /** Those of them that it did not refuse: it has them, whether or not it could say so. */
  readonly taken: string[] = [];
  /** All octets of each connection, in the order of the connections: also those that no step has been answered for. */
  readonly heard: string[] = [];
  connections = 0;
  readonly url: string;
  readonly port: number;
  readonly #listener: Listener;
  readonly #sockets: Set<Socket>;

  constructor(listener: Listener, sockets: Set<Socket>) {
    this.port = listener.port;
    this.url = `smtp://127.0.0.1:${listener.port}`;
    this.#listener = listener;
    this.#sockets = sockets;
  }

  /** Connections open now. */
  get open(): number {
    return this.#sockets.size;
  }

  /** Says something unasked on every open connection and closes it, as a server does that ends idle ones. */
  dismiss(reply: `${number} ${string}`): void {
    for (const socket of this.#sockets) socket.end(`${reply}\r\n`);
  }

  stop(): void {
    this.#listener.pause();
    for (const socket of this.#sockets) socket.destroy();
  }
}

export async function startScriptedSmtp(script: SmtpScript = {}): Promise<ScriptedSmtp> {
  const sockets = new Set<Socket>();
  const tcp = createServer({ noDelay: true }, (socket) => {
    sockets.add(socket);
    socket.once('close', () => sockets.delete(socket));
    // A client that goes away is seen by 'close'.
    socket.on('error', () => undefined);
    // When it has no more to say it goes on reading, so that it sees the client go.
    void converse(socket, script, server).then(
      () => socket.resume(),
      (error: unknown) => {
        // Else it is the script's.
        if (!socket.destroyed) throw error;
      },
    );
  });
  const server = new ScriptedSmtp(await Listener.open(tcp), sockets);
  atEnd(() => server.stop());
  return server;
}

async function converse(socket: Socket, script: SmtpScript, server: ScriptedSmtp): Promise<void> {
  const connection = ++server.connections;
  server.heard.push('');
  socket.setEncoding('utf8').on('data', (text: string) => (server.heard[connection - 1] += text));
  const capabilities = script.capabilities ?? ['PIPELINING', '8BITMIME', 'SMTPUTF8', 'SIZE 10485760'];
  const greeting = ['scripted.test', ...capabilities];
  const good: Record<Step, ScriptedAnswer> = {
    connect: '220 scripted.test ESMTP',
    ehlo: greeting.map((text, index) => `250${index + 1 < greeting.length ? '-' : ' '}${text}`).join('\n') as '250 ',
    helo: '250 scripted.test',
    starttls: '502 5.5.1 Not here',
    auth: '235 2.7.0 Authentication successful',
    mail: '250 2.1.0 Ok',
    rcpt: '250 2.1.5 Ok',
    data: '354 End data with <CR><LF>.<CR><LF>',
    message: '250 2.0.0 Ok: queued',
    rset: '250 2.0.0 Ok',
    noop: '250 2.0.0 Ok',
    quit: '221 2.0.0 Bye',
  };

  /** Answers one step; false when the conversation is over. */
  const answer = async (step: Step, line: string): Promise<string | false> => {
    const reply = (await script[step]?.(line, connection)) ?? good[step];
    if (reply === 'hang') return false;
    if (reply === 'drop') {
      socket.destroy();
      return false;
    }
    socket.write(`${reply.replaceAll('\n', '\r\n')}\r\n`);
    return reply;
  };

  if (!(await answer('connect', ''))) return;
  let body: string[] | undefined;
  for await (const line of createInterface({ input: socket, crlfDelay: Infinity })) {
    if (body && line !== '.') {
      body.push(line.startsWith('.') ? line.slice(1) : line);
      continue;
    }
    if (body) {
      const message = body.join('\r\n');
      body = undefined;
      server.messages.push(message);
      const reply = await answer('message', message);
      if (!reply || reply.startsWith('2')) server.taken.push(message);
      if (!reply) return;
      continue;
    }
    server.commands.push(line);
    const step = /^\w*/.exec(line)![0].toLowerCase();
    if (!isStep(step, good)) {
      socket.write('500 5.5.2 Unknown command\r\n');
      continue;
    }
    const reply = await answer(step, line);
    if (!reply) return;
    if (step === 'data' && reply.startsWith('354')) body = [];
    if (step === 'quit') socket.end();
    if (step === 'starttls' && reply.startsWith('220')) return;
  }
}

function isStep(word: string, steps: Record<Step, unknown>): word is Step {
  return Object.hasOwn(steps, word);
}
