import { createHash } from 'node:crypto';
import { resolve } from 'node:path';
import { MailError } from '../../errors.js';
import type { CampaignReport } from '../../queue/reader.js';
import { CampaignRun, type QueuedCampaign } from '../bulk/campaign-run.js';
import { checkFields } from '../bulk/fields.js';
import { outcomeOf } from '../bulk/outcome.js';
import { mailTo, type CampaignContent } from '../bulk/first-mail.js';
import { RecipientFile, type Survey } from '../bulk/recipient-file.js';
import { checkReport, writeReport, type WrittenReport } from '../bulk/report-file.js';
import { TimeLimit } from '../bulk/time-limit.js';
import { loadConfig } from '../config/config.js';
import type { Context } from '../context.js';
import { EXIT, type ExitCode } from '../exit-code.js';
import { Interrupted, UsageError } from '../failure.js';
import { readContent, type ContentOptions } from '../mail-content.js';
import { openMailer, settingsOf, type Mailer } from '../mailer.js';
import type { Output } from '../output.js';
import { previewDocument, previewOf, previewText } from '../preview.js';
import { count } from '../text.js';
import { campaignText, type Written } from './campaign.js';
import { workerOptions } from './worker.js';

export interface BulkOptions extends ContentOptions {
  id?: string;
  name?: string;
  list?: string;
  unsubscribe?: boolean;
  addressColumn?: string;
  localeColumn?: string;
  report?: string;
  /** Milliseconds. */
  maxTime?: number;
  queueOnly?: boolean;
  dryRun?: boolean;
  yes?: boolean;
}

/** A campaign as the command line asks for it. */
interface Asked {
  id: string;
  content: CampaignContent;
  recipients: RecipientFile;
  survey: Survey;
  time: TimeLimit;
  options: BulkOptions;
}

/** Of the rows that are told one by one. */
const TOLD = 10;

/**
 * Sends one message to the recipients of a file, and ends when all are served, or nothing more happens. Asked the same again,
 * it goes on with those who are not served yet.
 */
export async function bulk(context: Context, file: string, options: BulkOptions): Promise<ExitCode> {
  const { output, interruption, cwd } = context;
  const time = new TimeLimit(options.maxTime);
  const config = await loadConfig(context);
  const { rules, unsubscribe } = settingsOf(config);
  const content: CampaignContent = await readContent(options, context);
  if (options.list !== undefined) content.list = options.list;
  if (options.unsubscribe === true) content.unsubscribe = true;
  if (options.report !== undefined) await checkReport(resolve(cwd, options.report), resolve(cwd, file));
  const columns = { address: options.addressColumn, locale: options.localeColumn };
  const recipients = await RecipientFile.open(resolve(cwd, file), rules.limits, columns);
  checkFields(content, recipients);
  if ((unsubscribe || content.list !== undefined) && !canUnsubscribe(content)) {
    output.tell(
      'warning: readers cannot unsubscribe from this mail, which large providers ask of bulk mail: --unsubscribe',
    );
  }
  const onProgress = (rows: number): void => output.show(`${count(rows)} rows are read`);
  const survey = await interruption.orDone(recipients.survey(onProgress, time.over));
  tellRows(survey, output);
  if (!survey.first) throw new UsageError(`${file} has nobody who could be served.`);
  const asked = { id: options.id ?? idOf(survey, content, options), content, recipients, survey, time, options };
  if (options.dryRun === true) {
    const first = await previewOf(await mailTo(survey.first, content, rules), config, context);
    const { recipients: total, duplicates, invalid } = survey;
    output.print({
      document: { ...previewDocument(first), id: asked.id, recipients: total, duplicates, invalid },
      text: () =>
        `${previewText(first)}\n\nCampaign ${asked.id}: ${count(total)} recipients, ${count(invalid)} invalid rows.`,
    });
    return EXIT.ok;
  }
  const mailer = await openMailer(workerOptions(config, {}, false), 'run', context);
  try {
    return await perform(asked, mailer, context);
  } finally {
    await mailer.close();
  }
}

async function perform(asked: Asked, mailer: Mailer, context: Context): Promise<ExitCode> {
  const { id, options, recipients, survey, time } = asked;
  const { output, interruption } = context;
  const known = await interruption.orDone(mailer.mail.campaign(id));
  if (!known && !(await interruption.orDone(isWanted(asked, context)))) {
    output.tell('Nothing is sent.');
    return EXIT.failed;
  }
  if (known?.state === 'suspended') await mailer.mail.resume(id);
  const stop = new AbortController();
  let signal: NodeJS.Signals | undefined;
  void interruption.came.then((came) => {
    signal = came;
    output.tell(`${came}: what is in flight is finished. Again ends it at once.`);
    stop.abort();
  });
  const rejected = await serve(asked, new CampaignRun(mailer, output, stop.signal), stop.signal, known);
  if (rejected > 0) output.tell(`warning: ${count(rejected)} recipients could not be queued`);
  const report = await mailer.mail.campaign(id);
  if (!report && signal) throw new Interrupted(signal);
  if (!report) time.over.throwIfAborted();
  if (!report) throw new MailError(`The campaign ${id} is gone from the queue.`, { permanent: true });
  const content = { messages: mailer.mail.recipients(id), total: report.total, invalid: recipients.invalid() };
  const file =
    options.report === undefined ? undefined : await writeReport(resolve(context.cwd, options.report), content);
  if (file?.missing) output.tell(`warning: ${missingText(file)}`);
  const isHeld = (await mailer.mail.queue()).paused;
  const { duplicates, invalid } = survey;
  const left = invalid + rejected;
  const outcome = outcomeOf(report, {
    before: known,
    invalid: left,
    signal,
    isHeld,
    queueOnly: options.queueOnly === true,
  });
  const written: Written = file && file.recipients > 0 ? { report: file } : {};
  output.print({
    document: {
      ...report,
      rows: { recipients: survey.recipients, duplicates, invalid },
      written,
      outcome: outcome.text,
    },
    text: () => [campaignText(report, written), outcome.text].join('\n'),
  });
  return outcome.exitCode;
}

/** Queues, and delivers unless that is left to others. Returns how many were refused. */
async function serve(
  { id, content, recipients, survey, time, options }: Asked,
  run: CampaignRun,
  interrupted: AbortSignal,
  known: CampaignReport | undefined,
): Promise<number> {
  const { name, queueOnly } = options;
  const signal = AbortSignal.any([interrupted, time.over]);
  const bulk: QueuedCampaign = { ...content, id, recipients: recipients.recipients(survey), signal };
  if (name !== undefined) bulk.name = name;
  let rejected: number;
  try {
    ({ rejected } = await run.queue(bulk, survey.recipients));
  } catch (error) {
    if (!signal.aborted) throw error;
    return 0;
  }
  const isToDeliver = queueOnly !== true && known?.state !== 'completed' && time.left !== 0;
  if (isToDeliver) await run.deliver(id, time.left);
  return rejected;
}

function canUnsubscribe({ unsubscribe, headers = {} }: CampaignContent): boolean {
  return unsubscribe === true || Object.keys(headers).some((name) => /^list-unsubscribe$/i.test(name));
}

/** A campaign that begins is asked for once more where somebody can answer. */
async function isWanted({ id, content, recipients, survey, options }: Asked, context: Context): Promise<boolean> {
  const { output, input } = context;
  const stdin = input();
  if (options.yes === true || output.columns === undefined || stdin?.isTTY !== true) return true;
  const what = content.subject ?? content.template ?? id;
  const question = `Send ${JSON.stringify(what)} to the ${count(survey.recipients)} recipients of ${recipients.name}? [y/N] `;
  return /^y(es)?$/i.test((await output.ask(question, stdin)).trim());
}

function missingText({ file, recipients, missing = 0 }: WrittenReport): string {
  const what = `${count(missing)} recipients are past retention (queue.keep)`;
  return recipients > 0 ? `${what} and are not in the report.` : `${what}. The report ${file} is left as it was.`;
}

function tellRows({ invalid, duplicates, examples }: Survey, output: Output): void {
  output.show('');
  if (output.json) return;
  if (duplicates > 0) output.tell(`${count(duplicates)} rows repeat an address, to which the mail goes once.`);
  for (const { line, address, problem } of examples.slice(0, TOLD)) {
    output.tell(`line ${line}: ${address && !problem.includes(address) ? `${address}: ` : ''}${problem}`);
  }
  if (invalid > TOLD) output.tell(`${count(invalid - TOLD)} more rows are invalid; --report lists all of them.`);
}

/** The same for the same file and the same message, under whatever name. */
function idOf({ digest }: Survey, { attachments = [], ...content }: CampaignContent, options: BulkOptions): string {
  const { addressColumn, localeColumn } = options;
  const hash = createHash('sha256').update(JSON.stringify([digest, content, addressColumn, localeColumn]));
  for (const { filename, content: bytes } of attachments) hash.update(`${filename}\0`).update(bytes as Buffer);
  return `bulk-${hash.digest('hex').slice(0, 24)}`;
}
