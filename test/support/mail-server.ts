import { once } from 'node:events';
import { chmod, mkdir, readFile, readdir, writeFile } from 'node:fs/promises';
import { connect } from 'node:net';
import { join } from 'node:path';
import { selfSignedCertificate } from './certificate.js';
import { freePort } from './free-port.js';
import type { ServerProcess } from './server-process.js';
import { temporaryFolder } from './temp.js';

/** Who may send through a mail server of the tests. */
export const LOGIN = { user: 'shop@shop.test', pass: 'c0rrect' } as const;
/** The domain it takes mail for, and the one mailbox in it that does not exist. */
export const DOMAIN = 'mail.test';
export const NO_MAILBOX = 'gone';

export interface MailServerOptions {
  /** The announced limit of a message in bytes; default 1,000,000. */
  maxBytes?: number;
}

/**
 * A real mail server that asks for STARTTLS and a login, takes mail to any mailbox in {@link DOMAIN} but
 * {@link NO_MAILBOX}, and delivers it to a Maildir; nothing leaves the machine.
 */
export class MailServer {
  /** With {@link LOGIN}. */
  readonly url: string;
  readonly port: number;
  /** What clients must trust. */
  readonly ca: string;
  /** Its folder, where its queue is too. */
  readonly path: string;
  readonly #maildir: string;
  readonly #log: string;
  readonly #server: ServerProcess;

  constructor({ path, port, ca, maildir, log }: MailServerFolder, server: ServerProcess) {
    this.url = `smtp://${encodeURIComponent(LOGIN.user)}:${LOGIN.pass}@127.0.0.1:${port}`;
    this.port = port;
    this.ca = ca;
    this.path = path;
    this.#maildir = maildir;
    this.#log = log;
    this.#server = server;
  }

  /** What was delivered so far, as it was stored: the server's own header fields first, and LF at the end of lines. */
  async delivered(): Promise<Buffer[]> {
    const folder = join(this.#maildir, 'new');
    const names = await readdir(folder).catch(() => []);
    return Promise.all(names.map((name) => readFile(join(folder, name))));
  }

  /** From here on it delivers nothing, and what it takes stays in its queue. */
  async fillUp(): Promise<void> {
    await chmod(this.#maildir, 0o000);
  }

  /** Ends it, its connections included. */
  stop(): Promise<void> {
    return this.#server.end('SIGTERM');
  }

  /** Starts it, again on the same port after {@link stop}. */
  async start(): Promise<void> {
    try {
      await this.#server.start();
    } catch (error) {
      const log = await readFile(this.#log, 'utf8').catch(() => '');
      throw new Error(`${(error as Error).message}\n${log}`, { cause: error });
    }
  }
}

/** What a mail server needs on the disk, removed when the test file ends. */
export interface MailServerFolder {
  readonly path: string;
  readonly port: number;
  readonly ca: string;
  readonly maildir: string;
  /** A file for the server to write its log to. */
  readonly log: string;
  readonly certificate: string;
  readonly key: string;
}

export async function mailServerFolder(label: string): Promise<MailServerFolder> {
  const path = temporaryFolder(label);
  // Its parts run as several users.
  await chmod(path, 0o755);
  const [maildir, certificate, keyFile] = [join(path, 'mail'), join(path, 'cert.pem'), join(path, 'key.pem')];
  const { cert, key } = selfSignedCertificate();
  await mkdir(maildir);
  await writeFile(certificate, cert);
  await writeFile(keyFile, key, { mode: 0o600 });
  return { path, port: await freePort(), ca: cert, maildir, log: join(path, 'main.log'), certificate, key: keyFile };
}

/** Whether a server greets on this port. */
export async function greets(port: number): Promise<boolean> {
  const socket = connect(port, '127.0.0.1');
  try {
    await once(socket, 'data');
    return true;
  } finally {
    socket.destroy();
  }
}
