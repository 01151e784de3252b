import { createRequire } from 'node:module';
import { Command, InvalidArgumentError, Option } from 'commander';
import { parseDuration } from '../message/duration.js';
import { SUPPRESSION_REASONS } from '../feedback/suppression.js';
import { LANES } from '../message/message.js';
import type { BulkOptions } from './commands/bulk.js';
import type { Lists } from './commands/campaign.js';
import type { SendOptions } from './commands/send.js';
import type { StatusAgentSettings } from './commands/status-agent.js';
import type { SuppressOptions } from './commands/suppress.js';
import type { Limits } from './commands/worker.js';
import type { Context } from './context.js';
import type { ExitCode } from './exit-code.js';
import type { Streams } from './output.js';

/** One command with its arguments. */
export type Job = (context: Context) => Promise<ExitCode>;

/** The options of every command. */
export interface GlobalOptions {
  config?: string;
  json?: boolean;
  verbose?: boolean;
}

const EXIT_CODES = `
Exit codes:
  0  done
  1  it failed, or is not so
  2  the command line is wrong
  3  the configuration is wrong or missing
  4  the queue's store cannot be used
  5  there is no such message or campaign
  6  bulk: not all are served yet`;

/**
 * The command line: what can be asked for. A command's code is loaded when it is asked for, so that help comes at once.
 *
 * @param perform is given the job that was asked for
 */
export function createProgram(
  { stdout, stderr }: Streams,
  perform: (job: Job, options: GlobalOptions) => Promise<void>,
): Command {
  const { version } = createRequire(import.meta.url)('../../package.json') as { version: string };
  const program = new Command('priority-mail')
    .description('Looks after the mail of a NestJS application with nestjs-priority-mail.')
    .option('-c, --config <file>', 'the mail configuration (default: mail.config.* here, else the environment)')
    .option('--json', 'answer in JSON')
    .option('--verbose', "show an error's stack and causes, and what the module logs")
    .version(version)
    .exitOverride()
    .configureOutput({
      writeOut: (text) => void stdout.write(text),
      writeErr: (text) => void stderr.write(text),
      // Told by whoever runs the program, in the form that was asked for.
      outputError: () => undefined,
    })
    .configureHelp({ showGlobalOptions: true })
    .addHelpText('after', EXIT_CODES);
  const run = (job: Job): Promise<void> => perform(job, program.opts<GlobalOptions>());

  program
    .command('verify')
    .description('connect and log in to every transport')
    .action(() => run(async (context) => (await import('./commands/verify.js')).verify(context)));

  withContent(program.command('send'))
    .description('send one mail; the text may be piped in')
    .requiredOption('--to <address...>', 'one or more')
    .option('--cc <address...>', 'further recipients')
    .option('--bcc <address...>', 'recipients that the others do not see')
    .addOption(new Option('--lane <lane>', 'how it travels (default: priority)').choices(LANES))
    .option('--idempotency-key <key>', 'the same key is the same mail: it is sent once')
    .option('--dry-run', 'show the mail, and send nothing')
    .action((options: SendOptions) =>
      run(async (context) => (await import('./commands/send.js')).send(context, options)),
    );

  withContent(program.command('bulk'))
    .description('send a message to all recipients in a CSV file; the same command again goes on where it stopped')
    .argument('<recipients>', 'CSV with a heading; a column email, address or to, and others for {{fields}}')
    .option('--id <id>', "the campaign's (default: made of the file and the message)")
    .option('--name <name>', 'what the campaign is called in reports')
    .option('--address-column <name>', 'of the addresses')
    .option('--locale-column <name>', "of the recipients' languages")
    .option('--list <name>', 'the mailing list it belongs to: those who have left it get nothing')
    .option('--unsubscribe', 'readers can unsubscribe, as the configuration says')
    .option('--report <file>', 'write what became of each recipient, as CSV')
    .option('--max-time <duration>', 'end after so long at the latest, such as 30s or 5m', duration)
    .option('--queue-only', "leave the delivery to the application's workers")
    .option('--dry-run', 'check the file, show the first mail, and send nothing')
    .option('-y, --yes', 'do not ask before a campaign begins')
    .action((file: string, options: BulkOptions) =>
      run(async (context) => (await import('./commands/bulk.js')).bulk(context, file, options)),
    );

  program
    .command('status')
    .description('how the queue is doing, or one message')
    .argument('[id]', 'of a message')
    .action((id: string | undefined) =>
      run(async (context) => {
        const { messageStatus, queueStatus } = await import('./commands/status.js');
        return id === undefined ? queueStatus(context) : messageStatus(context, id);
      }),
    );

  program
    .command('campaign')
    .description('how a campaign is doing; its recipients as CSV')
    .argument('<id>', 'of the campaign')
    .option('--failures [file]', 'the recipients that failed, into a CSV file or to standard output')
    .option('--remaining [file]', 'the recipients still to be served, likewise')
    .action((id: string, lists: Lists) =>
      run(async (context) => (await import('./commands/campaign.js')).campaign(context, id, lists)),
    );

  program
    .command('retry')
    .description('send the failed messages of a campaign again')
    .argument('<campaign>', 'its id')
    .action((id: string) => run(async (context) => (await import('./commands/control.js')).retry(context, id)));

  program
    .command('pause')
    .description('hold a campaign, or the whole bulk lane')
    .argument('[campaign]', 'its id')
    .action((id?: string) => run(async (context) => (await import('./commands/control.js')).pause(context, id)));

  program
    .command('resume')
    .description('go on with what was paused, or with a campaign that was suspended')
    .argument('[campaign]', 'its id')
    .action((id?: string) => run(async (context) => (await import('./commands/control.js')).resume(context, id)));

  program
    .command('cancel')
    .description('stop what is unsent of a campaign, or one message')
    .argument('<id>', 'of the campaign or the message')
    .action((id: string) => run(async (context) => (await import('./commands/control.js')).cancel(context, id)));

  program
    .command('suppress')
    .description('look after the addresses that get no more mail')
    .argument('[address...]', 'to be suppressed')
    .option('--scope <scope>', 'all, bulk or list:<name> (default: by the reason)')
    .addOption(new Option('--reason <reason>', 'why (default: manual)').choices(SUPPRESSION_REASONS))
    .option('--note <text>', 'who did it, or what for')
    .option(
      '--remove <address...>',
      'take them off the list, for one --scope or --reason; who unsubscribed, by --reason unsubscribed alone',
    )
    .option('--check <address...>', 'what is known of them')
    .option('--list', 'all of them')
    .option('--import <file>', 'add the rows of a CSV file')
    .option('--export [file]', 'write all of them as CSV')
    .action((addresses: string[], options: SuppressOptions) =>
      run(async (context) => (await import('./commands/suppress.js')).suppress(context, addresses, options)),
    );

  program
    .command('worker')
    .description('deliver bulk mail, until SIGTERM or Ctrl-C')
    .option('--until-empty', 'end when nothing is due any more')
    .option('--max-time <duration>', 'end after so long at the latest, such as 30s or 5m', duration)
    .option('--batches <number>', 'batches delivered at a time (default: queue.worker.batches)', wholeNumber)
    .action((limits: Limits) => run(async (context) => (await import('./commands/worker.js')).worker(context, limits)));

  program
    .command('status-agent')
    .description('tell how this machine and its mail server are doing, over HTTP')
    .option('--host <address>', 'where it listens (default: 127.0.0.1)')
    .option('--port <number>', 'where it listens (default: 8026)', wholeNumber)
    .option('--mail-server <name>', 'auto, postfix, exim, sendmail, exchange, iis or none (default: auto)')
    .option('--spool <folder>', 'a folder on the disk whose free space is told')
    .option('--queue-dir <folder>', 'a folder whose messages are counted, instead of asking the mail server')
    .option('--token-file <file>', 'holds the token that callers send (default: PRIORITY_MAIL_AGENT_TOKEN)')
    .option('--no-token', 'answer whoever asks; on this machine alone')
    .option('--cert <file>', 'for TLS: the certificate chain in PEM')
    .option('--key <file>', 'and its key')
    .action((settings: StatusAgentSettings) =>
      run(async (context) => (await import('./commands/status-agent.js')).statusAgent(context, settings)),
    );

  return program;
}

/** The options that say what a mail says. */
function withContent(command: Command): Command {
  return command
    .option('--from <address>', "(default: the configuration's)")
    .option('--reply-to <address>', 'where answers go')
    .option('--subject <text>')
    .option('--text <text>', 'what it says')
    .option('--text-file <file>', 'the same from a file; - is standard input')
    .option('--html <html>', 'the same as HTML')
    .option('--html-file <file>', 'from a file; - is standard input')
    .option('--template <name>', 'renders subject, text and HTML')
    .option('--context <json>', "the template's values")
    .option('--locale <language>', 'to render in')
    .option('--attach <file...>', 'one or more')
    .option('--header <line>', "such as 'X-Campaign: spring'; may be repeated", repeated)
    .option('--transport <name>', 'the only one that may send it');
}

function repeated(value: string, before: string[] = []): string[] {
  return [...before, value];
}

/** Milliseconds. */
function duration(text: string): number {
  const milliseconds = parseDuration(text);
  if (milliseconds !== undefined && milliseconds > 0) return milliseconds;
  throw new InvalidArgumentError('Give a duration such as 30s or 5m.');
}

function wholeNumber(text: string): number {
  if (/^\d{1,9}$/.test(text)) return Number(text);
  throw new InvalidArgumentError('Give a whole number.');
}
