import type * as Sdk from '@aws-sdk/client-sesv2';
import type { GetAccountCommandOutput, SendEmailCommandInput, SendEmailCommandOutput } from '@aws-sdk/client-sesv2';
import { MailConfigError } from '../../errors.js';
import { loadPeer } from '../../peer.js';
import type { Exchange } from './exchange.js';
import { SesHttp } from './http.js';
import type { SesTransportOptions } from './options.js';

async function loadSdk(): Promise<typeof Sdk> {
  return loadPeer('@aws-sdk/client-sesv2', () => import('@aws-sdk/client-sesv2'), 'A mail transport with `ses`');
}

/** @throws MailConfigError the SDK is not installed, or the application's own client retries by itself */
export async function checkSes({ name, client }: Pick<SesTransportOptions, 'name' | 'client'>): Promise<void> {
  await loadSdk();
  const attempts = (await (client as Client | undefined)?.config.maxAttempts?.()) ?? 1;
  if (attempts <= 1) return;
  throw new MailConfigError(
    `The SES client of the mail transport ${name} would send again by itself what may have been sent. ` +
      'Make it with new SESv2Client({ maxAttempts: 1, … }).',
  );
}

/** A command of the SDK, as far as it concerns this package. */
interface Command {
  middlewareStack: {
    add(
      middleware: (next: (args: unknown) => Promise<unknown>) => (args: unknown) => Promise<unknown>,
      options: { step: 'deserialize'; priority: 'low' },
    ): void;
  };
}

interface Client {
  config: { region: () => Promise<string>; maxAttempts?: () => Promise<number> };
  send(command: Command, options: { abortSignal: AbortSignal; exchange: Exchange }): Promise<unknown>;
}

/** What nodemailer's SES transport is made of. */
export interface SesApi {
  SendEmailCommand: new (input: SendEmailCommandInput) => Command;
  config: Client['config'];
  send: (command: Command, exchange: Exchange) => Promise<SendEmailCommandOutput>;
  account: (exchange: Exchange) => Promise<GetAccountCommandOutput>;
}

/** The SDK's client, made when it is first used. */
export class SesConnection {
  private opening: Promise<SesApi> | undefined;
  private readonly http: SesHttp;

  constructor(private readonly options: SesTransportOptions) {
    this.http = new SesHttp(options);
  }

  /** @throws MailConfigError the SDK is not installed */
  open(): Promise<SesApi> {
    this.opening ??= this.make().catch((error: unknown) => {
      this.opening = undefined;
      throw error;
    });
    return this.opening;
  }

  close(): void {
    this.http.destroy();
  }

  private async make(): Promise<SesApi> {
    const { SESv2Client, SendEmailCommand, GetAccountCommand } = await loadSdk();
    const { awsRegion, endpoint, credentials, client: given } = this.options;
    const own = (): unknown =>
      new SESv2Client({
        // Retries are the lanes' own: the SDK's would send twice, and hide that it is too fast.
        maxAttempts: 1,
        requestHandler: this.http as never,
        ...(awsRegion === undefined ? {} : { region: awsRegion }),
        ...(endpoint === undefined ? {} : { endpoint }),
        ...(credentials === undefined ? {} : { credentials }),
      });
    const client = (given ?? own()) as Client;
    await checkSes(this.options);
    const send = (command: Command, exchange: Exchange): Promise<unknown> => {
      if (given) noteBegin(command, exchange);
      return exchange.race(client.send(command, { abortSignal: exchange.signal, exchange }));
    };
    return {
      SendEmailCommand: SendEmailCommand as unknown as SesApi['SendEmailCommand'],
      config: client.config,
      send: async (command, exchange) => (await send(command, exchange)) as SendEmailCommandOutput,
      account: async (exchange) =>
        (await send(new GetAccountCommand({}) as unknown as Command, exchange)) as GetAccountCommandOutput,
    };
  }
}

/** The application's client has a handler of its own: what is handed to that may have been read. */
function noteBegin(command: Command, exchange: Exchange): void {
  command.middlewareStack.add(
    (next) => (args) => {
      exchange.begin();
      return next(args);
    },
    { step: 'deserialize', priority: 'low' },
  );
}
