import { envelopeAddress } from '../../src/mime/compose.js';
import type { ContractServer, ServerMail, ServerMood } from '../../src/testing/transport-checks.js';
import { startSmtpServer, type Refusal, type TestSmtpServer } from './smtp-server.js';

/** An SMTP server for the contract suite of transports; stopped when the test file ends. */
export class ContractSmtp implements ContractServer {
  readonly mails: ServerMail[] = [];
  private mood: ServerMood = { does: 'accept' };
  private server!: TestSmtpServer;

  static async start(): Promise<ContractSmtp> {
    const contract = new ContractSmtp();
    contract.server = await startSmtpServer({
      onMail: () => contract.answerMail(),
      onRcpt: (address) => contract.answerRcpt(address),
      onData: async ({ to, raw }) => {
        const { mood } = contract;
        if (mood.does === 'refuse-message') return { code: 554, text: '5.7.1 It looks like spam' };
        const visible = raw.toString('utf8');
        contract.mails.push({
          // smtp-server shows them in Unicode.
          recipients: to.map(envelopeAddress),
          visible,
          raw,
          messageId: /^Message-ID: (.+)$/im.exec(visible)![1]!.trim(),
        });
        if (mood.does === 'say-nothing') await new Promise(() => undefined);
        if (mood.does === 'accept') await mood.after;
        return undefined;
      },
    });
    return contract;
  }

  get url(): string {
    return this.server.url;
  }

  get port(): number {
    return this.server.port;
  }

  /** Connections taken so far. */
  get connections(): number {
    return this.server.connections;
  }

  async behave(mood: ServerMood): Promise<void> {
    this.mood = mood;
    if (mood.does === 'be-down') await this.server.stop();
    else await this.server.resume();
  }

  /** Breaks every connection without a word. */
  async drop(): Promise<void> {
    await this.server.stop();
    await this.server.resume();
  }

  private answerMail(): Refusal | undefined {
    return this.mood.does === 'be-busy' ? { code: 451, text: '4.3.2 System not accepting messages' } : undefined;
  }

  private answerRcpt(address: string): Refusal | undefined {
    const { mood } = this;
    if (mood.does !== 'refuse-recipients' || !mood.addresses.includes(address)) return undefined;
    return { code: 550, text: '5.1.1 No such user' };
  }
}
