import type { Readable } from 'node:stream';
import { MailValidationError, type Fault } from '../errors.js';
import type { AddressesInput, AddressInput } from '../message/address.js';
import type { AttachmentInput, MailMessageInput } from '../message/message.js';
import { escape, type Place } from '../mime/merge.js';
import { withoutNothing } from './without-nothing.js';

/** An attachment in nodemailer's shape. A path is read only inside `attachments.allowedDir`; a URL never. */
export interface MailerAttachment {
  /** False: none. */
  filename?: string | false;
  content?: string | Uint8Array | Readable;
  path?: string;
  encoding?: string;
  contentType?: string;
  cid?: string;
  contentDisposition?: 'attachment' | 'inline';
}

/**
 * What `MailerService.sendMail()` takes: those options of `@nestjs-modules/mailer` that have a meaning here, and how a
 * message travels.
 */
export interface ISendMailOptions extends Pick<
  MailMessageInput,
  'lane' | 'idempotencyKey' | 'sendAt' | 'delay' | 'expiresAt' | 'urgency'
> {
  from?: AddressInput;
  to?: AddressesInput;
  cc?: AddressesInput;
  bcc?: AddressesInput;
  replyTo?: AddressesInput;
  inReplyTo?: string;
  /** Message-IDs, in a list or with spaces between them. */
  references?: string | readonly string[];
  /** `{{key}}` becomes that value of `context`. */
  subject?: string;
  text?: string | Uint8Array;
  /** Without `template`, `{{key}}` becomes that value of `context`, escaped. */
  html?: string | Uint8Array;
  headers?: Record<string, string | readonly string[]> | readonly { key: string; value: string }[];
  attachments?: readonly MailerAttachment[];
  /** The name of a template; `./` before it and its ending are left out. */
  template?: string;
  context?: object;
  locale?: string;
  /** The name of the transport. */
  transporterName?: string;
  /** Written as X-Priority, X-MSMail-Priority and Importance. It is not the lane. */
  priority?: 'high' | 'normal' | 'low';
  /** Files are read only inside `attachments.allowedDir`. */
  disableFileAccess?: true;
  /** URLs are never read. */
  disableUrlAccess?: true;
}

/** What other fields of nodemailer's or theirs are to be replaced with. */
const REFUSED: Readonly<Record<string, string>> = {
  alternatives: 'is not supported; attach it, or leave it out',
  amp: 'is not supported; leave it out',
  attachDataUrls: 'is not supported; attach images with a cid',
  date: 'is not supported; it is the time at which the message is encoded',
  dkim: 'belongs to a transport: set dkim in transports[]',
  disableFileAccess: 'cannot be lifted; set attachments.allowedDir',
  disableUrlAccess: 'cannot be lifted; fetch the URL and give its bytes',
  dsn: 'is not supported; leave it out',
  encoding: 'is not supported; the encoding follows from the text',
  envelope: 'is not supported; it follows from from, to, cc and bcc',
  icalEvent: "is not supported; attach it with contentType 'text/calendar; method=REQUEST'",
  list: "is not supported; write the headers, such as 'List-Unsubscribe'",
  messageId: 'is not supported; with an idempotencyKey it stays the same',
  normalizeHeaderKey: 'is not supported; headers are written as they are given',
  raw: 'is not supported; give the parts of the message',
  sender: 'is not supported; give from',
  textEncoding: 'is not supported; the encoding follows from the text',
  textTemplate: 'is not supported; put <template>.txt.hbs beside the template',
  timeout: 'belongs to the module: set priority.timeout',
  watchHtml: 'is not supported; leave it out',
  xMailer: 'is not supported; write the header X-Mailer',
};

const IMPORTANCE = {
  high: { 'X-Priority': '1 (Highest)', 'X-MSMail-Priority': 'High', Importance: 'High' },
  normal: {},
  low: { 'X-Priority': '5 (Lowest)', 'X-MSMail-Priority': 'Low', Importance: 'Low' },
};

/**
 * The message of options that may have come from `@nestjs-modules/mailer`.
 *
 * @throws MailValidationError naming every field that cannot be kept, and what to do instead
 */
export function toMessage(options: ISendMailOptions): MailMessageInput {
  if (!isObject(options)) throw new MailValidationError([{ path: 'message', message: 'must be an object' }]);
  const given = withoutNothing(options) as ISendMailOptions;
  const { text, html, template, headers, attachments, transporterName, ...others } = given;
  const { inReplyTo, references, priority, subject, context, ...rest } = others;
  const faults: Fault[] = [];
  const values = (context ?? {}) as Record<string, string>;
  const body = bodyText(html, 'html', faults);
  const plain = bodyText(text, 'text', faults);
  const message: MailMessageInput = {
    ...kept(rest, faults),
    headers: {
      ...headersOf(headers, faults),
      ...(inReplyTo ? { 'In-Reply-To': messageIds(inReplyTo, 'inReplyTo', faults) } : {}),
      ...(references ? { References: messageIds(references, 'references', faults) } : {}),
      ...importanceOf(priority, faults),
    },
    attachments: attachmentsOf(attachments, faults),
    ...(subject === undefined ? {} : { subject: isString(subject) ? fill(subject, values, 'header') : subject }),
    ...(plain === undefined ? {} : { text: plain }),
    ...(body === undefined ? {} : { html: template ? body : fill(body, values, 'html') }),
    ...(transporterName === undefined ? {} : { transport: transporterName }),
    ...(template ? { template: templateName(template), context: values } : {}),
  };
  if (faults.length > 0) throw new MailValidationError(faults);
  return message;
}

const KEPT = ['from', 'to', 'cc', 'bcc', 'replyTo', 'locale'] as const;
const TRAVEL = ['lane', 'idempotencyKey', 'sendAt', 'delay', 'expiresAt', 'urgency'] as const;

/** The fields that mean the same; a fault for each that means something else. */
function kept(rest: object, faults: Fault[]): Partial<MailMessageInput> {
  const message: Record<string, unknown> = {};
  for (const [field, value] of Object.entries(rest)) {
    if ([...KEPT, ...TRAVEL].some((known) => known === field)) message[field] = value;
    else if (!isInForce(field, value)) faults.push({ path: field, message: REFUSED[field] ?? 'is not a known field' });
  }
  return message;
}

/** What these ask for is so anyway. */
function isInForce(field: string, value: unknown): boolean {
  if (field === 'disableFileAccess' || field === 'disableUrlAccess') return value === true;
  return value === false && (field === 'attachDataUrls' || field === 'xMailer');
}

function bodyText(value: unknown, path: string, faults: Fault[]): string | undefined {
  if (value === undefined || isString(value)) return value;
  if (value instanceof Uint8Array) return Buffer.from(value).toString('utf8');
  faults.push({ path, message: 'must be a string or bytes; streams, files and URLs are not read' });
  return undefined;
}

function headersOf(headers: ISendMailOptions['headers'], faults: Fault[]): Record<string, string | readonly string[]> {
  const entries: [string, unknown][] = Array.isArray(headers)
    ? headers.flatMap((header: { key: string; value: string }, index) => {
        if (isObject(header)) return [[header.key, header.value]];
        faults.push({ path: `headers[${index}]`, message: 'must be { key, value }' });
        return [];
      })
    : Object.entries(headers ?? {});
  const result: Record<string, string | readonly string[]> = {};
  for (const [name, value] of entries) {
    if (typeof value === 'object' && !Array.isArray(value)) {
      faults.push({
        path: `headers.${name}`,
        message: 'must be a string or a list; prepared headers are not supported',
      });
    } else {
      const before = result[name] ?? [];
      result[name] = [before, value as string | string[]].flat();
    }
  }
  return result;
}

function messageIds(given: unknown, path: string, faults: Fault[]): string {
  const ids = [given].flat();
  if (!ids.every(isString)) {
    faults.push({ path, message: 'must be a Message-ID, or a list of them' });
    return '';
  }
  return ids
    .flatMap((id) => id.split(/\s+/))
    .filter((id) => id !== '')
    .map((id) => (id.startsWith('<') ? id : `<${id}>`))
    .join(' ');
}

function importanceOf(priority: unknown, faults: Fault[]): Record<string, string> {
  if (priority === undefined) return {};
  if (isString(priority) && Object.hasOwn(IMPORTANCE, priority)) return IMPORTANCE[priority as keyof typeof IMPORTANCE];
  faults.push({ path: 'priority', message: "must be 'high', 'normal' or 'low'; what is urgent goes by its lane" });
  return {};
}

function templateName(template: unknown): string {
  return isString(template) ? template.replace(/^\.\//, '').replace(/\.hbs$/, '') : (template as string);
}

const REFUSED_OF_ATTACHMENTS: Readonly<Record<string, string>> = {
  href: 'is not read; fetch it and give its bytes as content',
  httpHeaders: 'is not supported; fetch the file and give its bytes as content',
  contentTransferEncoding: 'is not supported; attachments are base64',
  headers: 'is not supported; leave it out',
  raw: 'is not supported; give content, filename and contentType',
};

function attachmentsOf(attachments: unknown = [], faults: Fault[]): AttachmentInput[] {
  if (!Array.isArray(attachments)) {
    faults.push({ path: 'attachments', message: 'must be a list' });
    return [];
  }
  return attachments.flatMap((attachment: unknown, index) => {
    const path = `attachments[${index}]`;
    if (isObject(attachment)) return [attachmentOf(attachment, path, faults)];
    faults.push({ path, message: 'must be an object' });
    return [];
  });
}

function attachmentOf(attachment: MailerAttachment, path: string, faults: Fault[]): AttachmentInput {
  const { filename, encoding, ...rest } = withoutNothing(attachment) as MailerAttachment;
  for (const [field, message] of Object.entries(REFUSED_OF_ATTACHMENTS)) {
    if ((rest as Record<string, unknown>)[field]) faults.push({ path: `${path}.${field}`, message });
  }
  if (/^(https?|data):/i.test(String(rest.path ?? ''))) {
    faults.push({ path: `${path}.path`, message: 'is a URL, which is not read; give the bytes as content' });
  }
  if (filename === false && rest.path !== undefined) {
    faults.push({ path: `${path}.filename`, message: 'is that of the file; read it and give its bytes as content' });
  }
  const { content, path: file, contentType, cid, contentDisposition } = rest;
  return {
    ...(filename ? { filename } : {}),
    ...(content === undefined ? {} : { content }),
    ...(file === undefined ? {} : { path: file }),
    ...(encoding === undefined ? {} : { encoding: String(encoding).toLowerCase().replace('utf-8', 'utf8') as 'utf8' }),
    ...(contentType === undefined ? {} : { contentType }),
    ...(cid === undefined ? {} : { cid }),
    ...(contentDisposition === undefined ? {} : { contentDisposition }),
  };
}

function isObject(value: unknown): value is object {
  return typeof value === 'object' && value !== null;
}

function isString(value: unknown): value is string {
  return typeof value === 'string';
}

/** A field that the context does not have stays as it is written. */
function fill(text: string, context: Readonly<Record<string, string>>, place: Place): string {
  return text.replace(/\{\{([^{}]+)\}\}/g, (field, key: string) => {
    const value = Object.hasOwn(context, key.trim()) ? context[key.trim()] : undefined;
    return value === undefined ? field : escape(String(value), place);
  });
}
