import { fork, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { resolve } from 'node:path';
import { freePort } from './ports.js';

/** Ports that the inbox listens on. */
export interface InboxAddress {
  smtp: number;
  web: number;
}

/** Somebody who has got a mail, and the link in it by which they unsubscribe. */
export interface Reader {
  address: string;
  link: string;
}

/** What has arrived. */
export interface InboxCount {
  mails: number;
  /** Mails about one post. */
  ofPost: number;
  /** The different recipients of those. */
  recipients: number;
  /** How many of those mails are in Korean. */
  korean: number;
  /** Mails with an invoice. */
  invoices: number;
  /** The first who have got the mail about the post. */
  readers: Reader[];
}

/**
 * maildev, a mail server that shows in the browser what it got. It has a process of its own, as a mail server does: it
 * takes most of a processor to parse what arrives, and would hold up the site.
 */
export class Inbox {
  private constructor(
    private readonly child: ChildProcess,
    readonly smtpUrl: string,
    readonly webUrl: string,
  ) {}

  static async start(): Promise<Inbox> {
    const ports = await Promise.all([freePort(1025), freePort(1080)]);
    const child = fork(resolve(import.meta.dirname, 'inbox.process.js'), ports.map(String), { silent: true });
    const { smtp, web } = await answer<InboxAddress>(child);
    return new Inbox(child, `smtp://127.0.0.1:${smtp}`, `http://127.0.0.1:${web}`);
  }

  async count(postId: string): Promise<InboxCount> {
    this.child.send(postId);
    return answer<InboxCount>(this.child);
  }

  async stop(): Promise<void> {
    if (this.child.exitCode !== null) return;
    const exited = once(this.child, 'exit');
    this.child.disconnect();
    await exited;
  }
}

async function answer<T>(child: ChildProcess): Promise<T> {
  const ended = once(child, 'exit').then(([code]) => {
    throw new Error(`The inbox ended with code ${code}.`);
  });
  const [message] = (await Promise.race([once(child, 'message'), ended])) as [T];
  return message;
}
