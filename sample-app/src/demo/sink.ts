import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { SMTPServer } from 'smtp-server';

/** A mail server that keeps nothing but whom it was sent mail for, and how often. */
export class Sink {
  readonly arrivals = new Map<string, number>();
  mails = 0;
  private readonly server: SMTPServer;

  constructor() {
    this.server = new SMTPServer({
      disabledCommands: ['STARTTLS', 'AUTH'],
      disableReverseLookup: true,
      onData: (stream, { envelope }, accept) => {
        stream.resume();
        stream.on('end', () => {
          this.take(envelope.rcptTo.map(({ address }) => address));
          accept();
        });
      },
    });
    // A client that is killed in the middle of something is what this is about.
    this.server.on('error', () => undefined);
  }

  /** Its URL. */
  async listen(): Promise<string> {
    const server = this.server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    return `smtp://127.0.0.1:${(server.address() as AddressInfo).port}`;
  }

  close(): Promise<void> {
    return new Promise((resolve) => this.server.close(resolve));
  }

  private take(addresses: readonly string[]): void {
    this.mails++;
    for (const address of addresses) this.arrivals.set(address, (this.arrivals.get(address) ?? 0) + 1);
  }
}
