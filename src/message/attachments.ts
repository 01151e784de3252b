import { basename } from 'node:path';
import { Readable } from 'node:stream';
import { buffer } from 'node:stream/consumers';
import { MailValidationError, type Fault } from '../errors.js';
import { AttachmentDto } from './dto.js';
import type { Limits } from './limits.js';
import type { AcceptedAttachment, Attachment } from './message.js';
import { FileSource, Room, StreamSource, tooLarge, UnreadContent, type ContentSource } from './unread-content.js';

export interface AttachmentRules {
  /** The only folder attachments are read from by `path`. None: every path is refused. */
  allowedDir?: string;
  /** A stream or file has to be read within this long, in milliseconds. */
  readTimeout: number;
}

/** The faults that show without reading anything. What is no attachment at all is the DTO's to refuse. */
export function attachmentFaults(inputs: unknown, limits: Limits, rules: AttachmentRules): Fault[] {
  if (!Array.isArray(inputs)) return [];
  const faults = inputs.flatMap((input: unknown, index) =>
    input instanceof AttachmentDto ? sourceFaults(input, `attachments[${index}]`, rules) : [],
  );
  if (inputs.length > limits.attachments) {
    const message = `${inputs.length} attachments, more than limits.attachments (${limits.attachments})`;
    faults.push({ path: 'attachments', message });
  }
  return faults;
}

function sourceFaults(input: AttachmentDto, path: string, rules: AttachmentRules): Fault[] {
  if (input.path === undefined) {
    return input.content === undefined ? [{ path, message: 'has neither content nor path' }] : [];
  }
  if (input.content !== undefined) return [{ path, message: 'has both content and path; give one of them' }];
  if (rules.allowedDir !== undefined) return [];
  const message = 'files are not read unless attachments.allowedDir names the folder they may come from';
  return [{ path: `${path}.path`, message }];
}

/**
 * The attachments, of which streams and files are still to be read.
 *
 * @param inputs those in which `attachmentFaults` found nothing
 * @throws MailValidationError naming the one at hand with which they become too large
 */
export function acceptAttachments(
  inputs: readonly AttachmentDto[],
  limits: Limits,
  rules: AttachmentRules,
): AcceptedAttachment[] {
  const room = new Room(limits.attachmentBytes);
  return inputs.map((input, index) => {
    const path = `attachments[${index}]`;
    const source = sourceOf(input, rules);
    if (!Buffer.isBuffer(source)) return { ...describe(input), content: new UnreadContent(source, room, path) };
    if (!room.take(source.length)) throw tooLarge(path, room);
    return { ...describe(input), content: source };
  });
}

/**
 * Reads each of them once, one after the other.
 *
 * @param read takes what is at hand, or reads it to its end
 * @throws MailValidationError naming every attachment that cannot be read, or the one with which they become too large
 */
export async function readEach<A, T>(attachments: readonly A[], read: (attachment: A) => T | Promise<T>): Promise<T[]> {
  const results: T[] = [];
  const faults: Fault[] = [];
  for (const attachment of attachments) {
    try {
      results.push(await read(attachment));
    } catch (error) {
      if (!(error instanceof MailValidationError)) throw error;
      faults.push(...error.errors);
    }
  }
  if (faults.length > 0) throw new MailValidationError(faults);
  return results;
}

/** The attachments with their bytes at hand. @throws MailValidationError as `readEach` does */
export function atHand(attachments: readonly AcceptedAttachment[]): Promise<Attachment[]> {
  return readEach(attachments, async ({ content, ...rest }) => ({
    ...rest,
    content: Buffer.isBuffer(content) ? content : await buffer(content),
  }));
}

/** Lets go of what was to be read and is not going to be. Those that were read are passed over. */
export function release(attachments: readonly AcceptedAttachment[]): void {
  for (const { content } of attachments) if (content instanceof UnreadContent) content.release();
}

/** The same for input that was refused, whatever it is. */
export function releaseInputs(inputs: unknown): void {
  if (!Array.isArray(inputs)) return;
  for (const input of inputs as (Partial<AttachmentDto> | null | undefined)[]) {
    const content = input?.content;
    if (content instanceof Readable) content.on('error', () => undefined).destroy();
  }
}

function describe(input: AttachmentDto): Omit<Attachment, 'content'> {
  const filename = input.filename ?? (input.path === undefined ? undefined : basename(input.path));
  return {
    disposition: input.contentDisposition ?? (input.cid === undefined ? 'attachment' : 'inline'),
    ...(filename === undefined ? {} : { filename: filename.toWellFormed() }),
    ...(input.contentType === undefined ? {} : { contentType: input.contentType }),
    ...(input.cid === undefined ? {} : { cid: input.cid }),
  };
}

/** Its bytes, or where they come from. */
function sourceOf({ content, path, encoding }: AttachmentDto, rules: AttachmentRules): Buffer | ContentSource {
  if (path !== undefined) return new FileSource(path, rules.allowedDir!, rules.readTimeout);
  if (typeof content === 'string') return Buffer.from(content, encoding ?? 'utf8');
  if (content instanceof Uint8Array) return Buffer.from(content.buffer, content.byteOffset, content.byteLength);
  return new StreamSource(content!, rules.readTimeout);
}
