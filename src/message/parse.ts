import { validateSync, type ValidationError } from 'class-validator';
import { MailConfigError, MailValidationError, type Fault } from '../errors.js';
import { parseAddresses, type Address } from './address.js';
import { acceptAttachments, atHand, attachmentFaults, releaseInputs, type AttachmentRules } from './attachments.js';
import { faultsOf, momentOf } from './constraints.js';
import { plainData } from './data.js';
import { AttachmentDto, BulkMailDto, MailContentDto, MailMessageDto } from './dto.js';
import { parseDuration } from './duration.js';
import type { Limits } from './limits.js';
import type {
  Accepted,
  BulkMailInput,
  Content,
  Lane,
  MailContentInput,
  MailMessageInput,
  MailUse,
  Message,
  Rendering,
  Source,
  Travel,
} from './message.js';
import { isSurelyValid } from './surely-valid.js';
import { cleanObject, isKey, KEY_RULE } from './text.js';
import {
  unsubscribeFaults,
  unsubscribeSettings,
  type UnsubscribeSettings,
  type UnsubscribeWays,
} from './unsubscribe.js';

/** What the module's options say about messages. */
export interface MessageRules {
  /** Stands in where a message names no sender. */
  from?: Address;
  limits: Limits;
  attachments: AttachmentRules;
  /** How readers unsubscribe where a message says no more than that they can. Undefined: there is no secret for it. */
  unsubscribe?: UnsubscribeWays;
}

export interface ParsedMessage extends Accepted<Message>, Travel {
  lane?: Lane;
}

/** The checked shared part of a campaign. */
export interface ParsedBulk extends Accepted<Content>, Travel {
  id?: string;
  name?: string;
  /** The mailing list that it is for. */
  list?: string;
  groups: Record<string, Record<string, unknown>>;
  missingFields: 'error' | 'empty';
  /** Each message is rendered from this, its recipient's context and locale going before these. */
  rendering?: Rendering;
}

/**
 * Checks a `send()` message and makes it the trusted form that all later steps take. Streams and files that are attached are not
 * read yet.
 *
 * @param mail the mail class that it is made by
 * @throws MailValidationError with every fault
 */
export function parseMessage(input: MailMessageInput, rules: MessageRules, mail?: MailUse): ParsedMessage {
  return orRelease(input, () => messageOf(input, rules, mail));
}

function messageOf(input: MailMessageInput, rules: MessageRules, mail: MailUse | undefined): ParsedMessage {
  const { dto, faults } = checked(input);
  const to = parseAddresses(dto.to, 'to').addresses;
  const cc = parseAddresses(dto.cc, 'cc').addresses;
  const bcc = parseAddresses(dto.bcc, 'bcc').addresses;
  const count = to.length + cc.length + bcc.length;
  if (count === 0 && !faults.some((f) => /^(to|cc|bcc)\b/.test(f.path))) {
    faults.push({ path: 'to', message: 'at least one of to, cc and bcc is needed' });
  }
  if (count > rules.limits.recipients) {
    const message = `${count} recipients, more than limits.recipients (${rules.limits.recipients}); use sendBulk() for many`;
    faults.push({ path: 'to', message });
  }
  if (dto.unsubscribe !== undefined && dto.unsubscribe !== false && count > 1) {
    const message = 'is for one recipient, whose own link it is; send a message to each, or use sendBulk()';
    faults.push({ path: 'unsubscribe', message });
  }
  const rendering = parseRendering(dto, rules.limits, mail, faults);
  if (!mail && dto.template === undefined && dto.context !== undefined) {
    faults.push({
      path: 'context',
      message: 'is for a template; give its name in template, or use sendBulk() to merge',
    });
  }
  const message: ParsedMessage = Object.assign(contentOf(dto, rules, faults), { to, cc, bcc });
  if (rendering) message.rendering = rendering;
  if (dto.lane) message.lane = dto.lane;
  if (dto.idempotencyKey !== undefined) message.idempotencyKey = dto.idempotencyKey;
  return message;
}

/** Streams of a message that is refused are not read by anybody. */
function orRelease<T>(input: MailContentInput | undefined, parse: () => T): T {
  try {
    return parse();
  } catch (error) {
    releaseInputs(input?.attachments);
    throw error;
  }
}

/** A message and what class-validator says of it; most messages need not be put before it. */
function checked(input: MailMessageInput): { dto: MailMessageDto; faults: Fault[] } {
  if (typeof input === 'object' && input !== null && !Array.isArray(input)) {
    // A copy: what is checked is what is sent, also where a property is a getter.
    const copy = { ...input } as MailMessageDto;
    if (isSurelyValid(copy)) return { dto: copy, faults: [] };
  }
  const dto = instantiate(MailMessageDto, input, 'message');
  const faults = validate(dto);
  return { dto, faults: [...faults, ...unfilledFaults(dto, faults)] };
}

/**
 * Checks the shared part of a campaign once. Its recipients are checked one by one with `parseRecipient`.
 *
 * @param mail the mail class that its messages are made by
 * @throws MailValidationError with every fault
 */
export function parseBulk(input: BulkMailInput, rules: MessageRules, mail?: MailUse): ParsedBulk {
  return orRelease(input, () => bulkOf(input, rules, mail));
}

function bulkOf(input: BulkMailInput, rules: MessageRules, mail: MailUse | undefined): ParsedBulk {
  const { recipients, signal, onProgress, ...shared } = (input ?? {}) as Partial<BulkMailInput>;
  void [signal, onProgress];
  const dto = instantiate<BulkMailDto & Partial<MailMessageDto>>(BulkMailDto, shared, 'campaign');
  const misplaced = (['to', 'cc', 'bcc'] as const).filter((field) => field in dto);
  for (const field of misplaced) delete dto[field];
  const faults = validate(dto);
  for (const path of misplaced) {
    faults.push({ path, message: 'each recipient gets a mail of their own; use recipients' });
  }
  if (!isIterable(recipients)) {
    faults.push({ path: 'recipients', message: 'must be an iterable or async iterable of { to, context? }' });
  }
  const groups = parseGroups(dto.groups ?? {}, rules.limits, faults);
  const rendering = parseRendering(dto, rules.limits, mail, faults);
  if (rendering) faults.push(...unfilledFaults(dto, faults), ...unmergedFaults(dto, rendering));
  else if (!mail && dto.template === undefined && dto.context !== undefined) {
    faults.push({
      path: 'context',
      message: 'is for a template; what all recipients share to be merged goes into groups',
    });
  }
  const content = contentOf(dto, rules, faults);
  return {
    ...content,
    ...(rendering ? { rendering } : {}),
    groups,
    missingFields: dto.missingFields ?? 'error',
    ...(dto.id === undefined ? {} : { id: dto.id }),
    ...(dto.name === undefined ? {} : { name: dto.name.toWellFormed() }),
    ...(dto.list === undefined ? {} : { list: dto.list }),
  };
}

/** What is wrong with fields that many messages are to have. */
export function contentFaults(fields: Pick<MailContentInput, 'from' | 'replyTo' | 'headers' | 'unsubscribe'>): Fault[] {
  const dto = instantiate(MailContentDto, fields, 'content');
  const faults = validate(dto);
  return [...faults, ...unfilledFaults(dto, faults)];
}

/** Senders may hold merge fields where something fills them in. */
export function unfilledFaults(dto: MailContentDto, known: readonly Fault[]): Fault[] {
  return (['from', 'replyTo'] as const).flatMap((path) =>
    parseAddresses(dto[path], path).faults.filter((fault) => !known.some((other) => other.path === fault.path)),
  );
}

/** Nothing is merged into what is rendered. */
function unmergedFaults({ groups, missingFields }: BulkMailDto, { source: { kind } }: Rendering): Fault[] {
  const faults: Fault[] = [];
  if (missingFields !== undefined) {
    faults.push({ path: 'missingFields', message: 'is for merge fields; a template has the option templates.strict' });
  }
  if (kind === 'mail' && groups !== undefined) {
    faults.push({ path: 'groups', message: 'is for merge fields and templates; a mail class takes data' });
  }
  return faults;
}

function parseRendering(
  dto: MailContentDto,
  limits: Limits,
  mail: MailUse | undefined,
  faults: Fault[],
): Rendering | undefined {
  const source = sourceOf(dto, mail, faults);
  if (!source) return undefined;
  const context = mail ? parseData(mail, limits, faults) : parseContext(dto, limits, faults);
  return {
    source,
    ...(context === undefined ? {} : { context }),
    ...(dto.locale === undefined ? {} : { locale: dto.locale }),
    ...(dto.from === undefined ? {} : { ownSender: true }),
  };
}

function sourceOf(
  { template, context }: MailContentDto,
  mail: MailUse | undefined,
  faults: Fault[],
): Source | undefined {
  if (!mail) return template === undefined ? undefined : { kind: 'template', name: template };
  if (template !== undefined) faults.push({ path: 'template', message: 'is not given with a mail class: it renders' });
  if (context !== undefined) faults.push({ path: 'context', message: 'is for templates; a mail class takes data' });
  return { kind: 'mail', name: mail.name };
}

function parseContext({ context = {} }: MailContentDto, limits: Limits, faults: Fault[]): unknown {
  const cleaned = cleanObject(context);
  // What is wrong with it has been said.
  if ('problem' in cleaned) return undefined;
  atMost('context', JSON.stringify(cleaned.value), limits.contextBytes, 'limits.contextBytes', faults);
  return cleaned.value;
}

function parseData({ data }: MailUse, limits: Limits, faults: Fault[]): unknown {
  if (data === undefined) return undefined;
  const copied = plainData(data, 'data');
  if ('fault' in copied) {
    faults.push(copied.fault);
    return undefined;
  }
  atMost('data', JSON.stringify(copied.value), limits.contextBytes, 'limits.contextBytes', faults);
  return copied.value;
}

/** With its attachments' bytes at hand. @throws MailValidationError with the faults found before and those found here */
export async function parseContent(
  dto: MailContentDto,
  rules: MessageRules,
  faults: Fault[],
): Promise<Content & Travel> {
  const content = contentOf(dto, rules, faults);
  return { ...content, attachments: await atHand(content.attachments) };
}

/** @throws MailValidationError with the faults found before and those found here */
function contentOf(dto: MailContentDto, rules: MessageRules, faults: Fault[]): Accepted<Content> & Travel {
  const { limits } = rules;
  const [from = rules.from] = parseAddresses(dto.from, 'from', true).addresses;
  if (!from && dto.from === undefined) {
    faults.push({ path: 'from', message: "is missing, and the module's options name no `from`" });
  }
  atMost('subject', dto.subject, limits.subjectBytes, 'limits.subjectBytes', faults);
  atMost('text', dto.text, limits.bodyBytes, 'limits.bodyBytes', faults);
  atMost('html', dto.html, limits.bodyBytes, 'limits.bodyBytes', faults);
  const headers = headerEntries(dto.headers, limits, faults);
  const unsubscribe = parseUnsubscribe(dto, rules, faults);
  const expiresAt = momentOf(dto.expiresAt);
  const sendAt = departure(dto, faults);
  if (expiresAt !== undefined && sendAt !== undefined && expiresAt <= sendAt) {
    faults.push({ path: 'expiresAt', message: 'is not after the time the message is to be sent' });
  }
  faults.push(...attachmentFaults(dto.attachments, limits, rules.attachments));
  if (faults.length > 0) throw new MailValidationError(faults);
  return {
    from: from!,
    replyTo: parseAddresses(dto.replyTo, 'replyTo', true).addresses,
    subject: (dto.subject ?? '').toWellFormed(),
    headers,
    attachments: acceptAttachments(dto.attachments ?? [], limits, rules.attachments),
    ...(dto.text === undefined ? {} : { text: dto.text.toWellFormed() }),
    ...(dto.html === undefined ? {} : { html: dto.html.toWellFormed() }),
    ...(dto.transport === undefined ? {} : { transport: dto.transport }),
    ...(sendAt === undefined ? {} : { sendAt }),
    ...(expiresAt === undefined ? {} : { expiresAt }),
    ...(dto.urgency === undefined ? {} : { urgency: dto.urgency }),
    ...(unsubscribe === undefined ? {} : { unsubscribe }),
  };
}

/** @throws MailConfigError there is no secret to make links with */
function parseUnsubscribe(
  { unsubscribe, headers }: MailContentDto,
  rules: MessageRules,
  faults: Fault[],
): UnsubscribeSettings | undefined {
  // What is wrong with it has been said.
  if (!unsubscribe || unsubscribeFaults(unsubscribe, '').length > 0) return undefined;
  if (!rules.unsubscribe) {
    throw new MailConfigError(
      'The message has `unsubscribe`, and the mail option unsubscribe.secret is not set. Give it 32 random bytes or more as text, such as `openssl rand -base64 32` prints.',
    );
  }
  for (const name of Object.keys(headers ?? {})) {
    if (!/^list-unsubscribe(-post)?$/i.test(name)) continue;
    faults.push({ path: `headers.${name}`, message: 'is written for `unsubscribe`; leave out one of them' });
  }
  return unsubscribeSettings(unsubscribe, rules.unsubscribe, faults);
}

function departure(dto: MailContentDto, faults: Fault[]): number | undefined {
  if (dto.sendAt !== undefined && dto.delay !== undefined) {
    faults.push({ path: 'delay', message: 'cannot be combined with sendAt; give one of them' });
  }
  if (dto.delay !== undefined) return Date.now() + (parseDuration(dto.delay) ?? 0);
  return momentOf(dto.sendAt);
}

function headerEntries(headers: MailContentDto['headers'], limits: Limits, faults: Fault[]): [string, string][] {
  const entries = Object.entries(headers ?? {}).flatMap(([name, given]) =>
    (Array.isArray(given) ? given : [given])
      .filter((value) => typeof value === 'string')
      .map((value): [string, string] => [name, value.toWellFormed()]),
  );
  if (entries.length > limits.headers) {
    faults.push({
      path: 'headers',
      message: `${entries.length} headers, more than limits.headers (${limits.headers})`,
    });
  }
  for (const [name, value] of entries) {
    atMost(`headers.${name}`, value, limits.headerBytes, 'limits.headerBytes', faults);
  }
  return entries;
}

function parseGroups(
  groups: Record<string, unknown>,
  limits: Limits,
  faults: Fault[],
): Record<string, Record<string, unknown>> {
  const result: Record<string, Record<string, unknown>> = {};
  const entries = Object.entries(groups);
  if (entries.length > limits.groups) {
    faults.push({ path: 'groups', message: `${entries.length} groups, more than limits.groups (${limits.groups})` });
  }
  for (const [key, data] of entries) {
    const path = `groups.${key}`;
    const cleaned = cleanObject(data);
    if (!isKey(key) || key === '__proto__') faults.push({ path, message: `the key ${KEY_RULE}, and not __proto__` });
    else if ('problem' in cleaned) faults.push({ path, message: cleaned.problem });
    else if (Buffer.byteLength(JSON.stringify(cleaned.value)) > limits.contextBytes) {
      faults.push({ path, message: `is larger than limits.contextBytes (${limits.contextBytes})` });
    } else result[key.toWellFormed()] = cleaned.value;
  }
  return result;
}

function atMost(path: string, value: unknown, limit: number, option: string, faults: Fault[]): void {
  // A character takes three bytes at most: what is far from the limit need not be measured.
  if (typeof value !== 'string' || value.length * 3 <= limit) return;
  const bytes = Buffer.byteLength(value);
  if (bytes > limit) faults.push({ path, message: `${bytes} bytes, more than ${option} (${limit})` });
}

/** A DTO instance without class-transformer's deep copy, which would copy buffers and break streams. */
export function instantiate<T extends MailContentDto>(dto: new () => T, input: unknown, what: string): T {
  if (typeof input !== 'object' || input === null || Array.isArray(input)) {
    throw new MailValidationError([{ path: what, message: 'must be an object' }]);
  }
  const instance = fill(new dto(), input);
  if (Array.isArray(instance.attachments)) {
    // What is no object stays what it is, for validation to refuse; but that passes over undefined.
    instance.attachments = instance.attachments.map((entry: unknown) => {
      const isObject =
        typeof entry === 'object' && entry !== null && !Array.isArray(entry) && !ArrayBuffer.isView(entry);
      return isObject ? fill(new AttachmentDto(), entry) : (null as unknown as AttachmentDto);
    });
  }
  return instance;
}

/** Null and undefined are as good as absent. */
function fill<T extends object>(instance: T, input: object): T {
  Object.assign(instance, input);
  for (const [key, value] of Object.entries(instance)) {
    if (value === undefined || value === null) delete (instance as Record<string, unknown>)[key];
  }
  return instance;
}

export function validate(dto: object): Fault[] {
  return validateSync(dto, {
    whitelist: true,
    forbidNonWhitelisted: true,
    forbidUnknownValues: true,
    validationError: { target: false },
  }).flatMap((error) => flatten(error, ''));
}

function flatten(error: ValidationError, parent: string): Fault[] {
  const path = /^\d+$/.test(error.property)
    ? `${parent}[${error.property}]`
    : [parent, error.property].filter(Boolean).join('.');
  const own = Object.entries(error.constraints ?? {}).flatMap(([constraint, message]) => {
    if (constraint === 'whitelistValidation') return [{ path, message: 'is not a known field' }];
    return faultsOf(constraint, error.value, path) ?? [{ path, message: message.replace(`${error.property} `, '') }];
  });
  return [...own, ...(error.children ?? []).flatMap((child) => flatten(child, path))];
}

function isIterable(value: unknown): boolean {
  return typeof value === 'object' && value !== null && (Symbol.iterator in value || Symbol.asyncIterator in value);
}
