import { MailQueueUnavailableError } from '../../errors.js';
import type { Lane, MailMessageInput } from '../../message/message.js';
import type { MailReceipt } from '../../nest/sender.js';
import type { Context } from '../context.js';
import { loadConfig } from '../config/config.js';
import { EXIT, type ExitCode } from '../exit-code.js';
import { readContent, type ContentOptions } from '../mail-content.js';
import { settingsOf, withMailer, type Mailer } from '../mailer.js';
import type { Answer } from '../output.js';
import { previewDocument, previewOf, previewText } from '../preview.js';
import { facts } from '../text.js';

export interface SendOptions extends ContentOptions {
  to: string[];
  cc?: string[];
  bcc?: string[];
  /** Default: priority, whatever the module's is. Somebody waits for the answer. */
  lane?: Lane;
  idempotencyKey?: string;
  dryRun?: boolean;
}

/** Sends one mail, and fails when anybody was refused. */
export async function send(context: Context, options: SendOptions): Promise<ExitCode> {
  const { to, cc = [], bcc = [], lane = 'priority', idempotencyKey, dryRun = false } = options;
  const content = await readContent(options, context);
  const message: MailMessageInput = { ...content, to, cc, bcc, lane };
  if (idempotencyKey !== undefined) message.idempotencyKey = idempotencyKey;
  if (dryRun) {
    const preview = await previewOf(message, await loadConfig(context), context);
    context.output.print({ document: previewDocument(preview), text: () => previewText(preview) });
    return EXIT.ok;
  }
  let isOpen = false;
  const sending = async ({ mail }: Mailer): Promise<Answer> => {
    isOpen = true;
    return answerOf(await mail.send(message));
  };
  try {
    return await withMailer(context, 'queue', sending);
  } catch (error) {
    if (isOpen || !(error instanceof MailQueueUnavailableError)) throw error;
    const { suppression } = settingsOf(await loadConfig(context));
    // Who is suppressed, and which keys were used, is known to the store alone.
    if (lane === 'bulk' || idempotencyKey !== undefined || suppression.priority !== 'ignore') throw error;
    context.output.tell(`warning: ${error.message} The mail goes out without it, and is not recorded.`);
    return withMailer(context, 'transports', sending);
  }
}

function answerOf(receipt: MailReceipt): Answer {
  const { id, messageId } = receipt;
  if (receipt.status !== 'sent') {
    const text = (): string =>
      facts('Queued. A worker of the application delivers it, or priority-mail worker:', {
        id,
        'message id': messageId,
      });
    return { document: receipt, text };
  }
  const { transport, accepted, rejections, response } = receipt;
  const refused = rejections.map(({ address, reply }) => `${address}: ${reply}`);
  const text = (): string =>
    [
      facts(`Sent by ${transport}: ${response}`, { to: accepted.join(', '), id, 'message id': messageId }),
      ...refused.map((line) => `refused: ${line}`),
    ].join('\n');
  return { document: receipt, text, exitCode: refused.length === 0 ? EXIT.ok : EXIT.failed };
}
