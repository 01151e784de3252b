import PostalMime, { type Email } from 'postal-mime';
import { readDeliveryStatus, type DsnRecipient } from './delivery-status.js';
import { dateIn, first, headerFields, readHeaderFields, type HeaderFields } from './header-fields.js';
import { readEximBounce, readQmailBounce } from './plain-bounce.js';
import { addressesIn, NOTHING_RETURNED, readReturned, type ReturnedMail } from './returned.js';

/** What a mail says that came back. Nothing of it is verified. */
export type ReportMail = (
  | { kind: 'bounces'; recipients: readonly DsnRecipient[]; returned: ReturnedMail }
  | { kind: 'complaint'; type: string; recipients: readonly string[]; returned: ReturnedMail; at?: Date }
  /** An answer that a program has written, such as that somebody is on holiday. */
  | { kind: 'auto-reply' }
  | { kind: 'no-report' }
) & {
  /** The addresses that it came to. */
  to: readonly string[];
};

const DELIVERY_STATUS = /^message\/(global-)?delivery-status$/;
const FEEDBACK_REPORT = 'message/feedback-report';
const RETURNED =
  /^(message\/rfc822|text\/rfc822-headers|message\/rfc822-headers|message\/global|message\/global-headers)$/;

/** In which servers write down where they have delivered a mail. */
const CAME_TO = ['delivered-to', 'x-original-to', 'envelope-to', 'x-envelope-to', 'x-forwarded-to', 'to'];

/** Reads a mail that came to the address for bounces. One that was cut off behind its report is read as far as it goes. */
export async function readReportMail(raw: Uint8Array): Promise<ReportMail> {
  let email: Email;
  try {
    email = await PostalMime.parse(beginningOf(raw), {
      forceRfc822Attachments: true,
      maxNestingDepth: 20,
      maxHeadersSize: 256 * 1024,
    });
  } catch {
    // More of headers or parts than any report has.
    return { kind: 'no-report', to: [] };
  }
  const headers = headerFields(email.headers.map(({ key, value }) => [key, value]));
  return { ...reportIn(email, headers), to: addressesIn(headers, CAME_TO) };
}

/** Each line takes the parser its time, and the report stands in the first of them. */
const MAX_LINES = 5_000;

function beginningOf(raw: Uint8Array): Uint8Array {
  let end = 0;
  for (let line = 0; line < MAX_LINES; line++) {
    end = raw.indexOf(0x0a, end) + 1;
    if (end === 0) return raw;
  }
  return raw.subarray(0, end);
}

type Report = ReportMail extends infer Mail ? (Mail extends unknown ? Omit<Mail, 'to'> : never) : never;

function reportIn(email: Email, headers: HeaderFields): Report {
  const part = (type: (mimeType: string) => boolean): string | undefined => {
    const found = email.attachments.find(({ mimeType }) => type(mimeType));
    return found && textOf(found.content);
  };
  const returnedPart = part((type) => RETURNED.test(type));
  const returned = returnedPart === undefined ? NOTHING_RETURNED : readReturned(returnedPart);
  const status = part((type) => DELIVERY_STATUS.test(type));
  if (status !== undefined) return { kind: 'bounces', recipients: readDeliveryStatus(status), returned };
  const complaint = part((type) => type === FEEDBACK_REPORT);
  if (complaint !== undefined) return readComplaint(complaint, returned);
  return plainReport(email, headers) ?? { kind: isAutomatic(headers) ? 'auto-reply' : 'no-report' };
}

/** RFC 5965 §3. */
function readComplaint(text: string, returned: ReturnedMail): Report {
  const fields = readHeaderFields(text.trimStart());
  const at = dateIn(fields, ['arrival-date', 'received-date']);
  const [sender] = addressesIn(fields, ['original-mail-from']);
  return {
    kind: 'complaint',
    type: first(fields, 'feedback-type')?.toLowerCase() ?? '',
    recipients: addressesIn(fields, ['original-rcpt-to', 'removal-recipient']),
    returned: sender === undefined ? returned : { ...returned, returnPath: sender },
    ...(at ? { at } : {}),
  };
}

function plainReport({ text = '' }: Email, headers: HeaderFields): Report | undefined {
  const failed = addressesIn(headers, ['x-failed-recipients']);
  const plain = failed.length > 0 ? readEximBounce(text, failed) : readQmailBounce(text);
  return plain && { kind: 'bounces', recipients: plain.recipients, returned: readReturned(plain.returned) };
}

/** RFC 3834 §5, and what was there before it. */
function isAutomatic(headers: HeaderFields): boolean {
  const submitted = first(headers, 'auto-submitted')?.toLowerCase() ?? 'no';
  if (submitted !== 'no') return true;
  if (headers.has('x-autoreply') || headers.has('x-autorespond') || headers.has('x-auto-response-suppress'))
    return true;
  return /^(auto_reply|bulk|junk)$/i.test(first(headers, 'precedence') ?? '');
}

function textOf(content: ArrayBuffer | Uint8Array | string): string {
  return typeof content === 'string' ? content : Buffer.from(content as ArrayBuffer).toString('utf8');
}
