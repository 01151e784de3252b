import { readFile, realpath, stat } from 'node:fs/promises';
import { Readable } from 'node:stream';
import { basename, isAbsolute, relative, resolve, sep } from 'node:path';
import { MailValidationError, reasonOf, type Fault } from '../errors.js';
import { AttachmentDto } from './dto.js';
import type { Limits } from './limits.js';
import type { Attachment } from './message.js';

export interface AttachmentRules {
  /** The only folder attachments are read from by `path`. None: every path is refused. */
  allowedDir?: string;
  /** A stream has to end within this long, in milliseconds. */
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
 * Brings the attachments' bytes together, so that a message can be sent again without its source.
 *
 * @param inputs those in which `attachmentFaults` found nothing
 * @throws MailValidationError naming every attachment that cannot be read, or the one with which they become too large
 */
export async function readAttachments(
  inputs: readonly AttachmentDto[],
  limits: Limits,
  rules: AttachmentRules,
): Promise<Attachment[]> {
  const attachments: Attachment[] = [];
  const faults: Fault[] = [];
  let room = limits.attachmentBytes;
  for (const [index, input] of inputs.entries()) {
    const path = `attachments[${index}]`;
    try {
      const content = await readContent(input, room, rules);
      if (content) attachments.push({ ...describe(input), content });
      else {
        const message = `the attachments together are larger than limits.attachmentBytes (${limits.attachmentBytes})`;
        faults.push({ path, message });
        break;
      }
      room -= content.length;
    } catch (error) {
      faults.push({ path: `${path}.${input.path === undefined ? 'content' : 'path'}`, message: reasonOf(error) });
    }
  }
  if (faults.length > 0) throw new MailValidationError(faults);
  return attachments;
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

/** Undefined when there is no room for it. */
async function readContent(input: AttachmentDto, room: number, rules: AttachmentRules): Promise<Buffer | undefined> {
  const { content, path, encoding } = input;
  if (path !== undefined) return readAllowed(path, rules.allowedDir!, room);
  if (typeof content !== 'string' && !(content instanceof Uint8Array))
    return readStream(content!, room, rules.readTimeout);
  const bytes =
    typeof content === 'string'
      ? Buffer.from(content, encoding ?? 'utf8')
      : Buffer.from(content.buffer, content.byteOffset, content.byteLength);
  return bytes.length > room ? undefined : bytes;
}

async function readStream(stream: AsyncIterable<unknown>, room: number, within: number): Promise<Buffer | undefined> {
  const chunks: Uint8Array[] = [];
  let size = 0;
  const iterator = stream[Symbol.asyncIterator]();
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`it has not ended within ${within} ms`)), within);
  });
  try {
    for (;;) {
      const step: IteratorResult<unknown, unknown> = await Promise.race([iterator.next(), late]);
      if (step.done) break;
      const chunk = step.value;
      const bytes = typeof chunk === 'string' ? Buffer.from(chunk) : chunk;
      if (!(bytes instanceof Uint8Array)) throw new Error(`it yields values of type ${typeof bytes}, not bytes`);
      size += bytes.length;
      if (size > room) return undefined;
      chunks.push(bytes);
    }
  } catch (error) {
    throw new Error(`the stream failed: ${reasonOf(error)}`, { cause: error });
  } finally {
    clearTimeout(timer);
    // Lets go of what the stream reads from. One that hangs does not answer to return().
    void iterator.return?.().catch(() => undefined);
    if (stream instanceof Readable) stream.destroy();
  }
  return Buffer.concat(chunks);
}

async function readAllowed(file: string, allowedDir: string, room: number): Promise<Buffer | undefined> {
  const shown = JSON.stringify(file);
  try {
    const dir = await realpath(allowedDir);
    const target = await realpath(resolve(dir, file));
    if (isInside(dir, target)) return (await stat(target)).size > room ? undefined : await readFile(target);
  } catch (error) {
    const { code = 'unknown' } = error as { code?: string };
    throw new Error(`${shown} cannot be read from attachments.allowedDir: ${code}`, { cause: error });
  }
  throw new Error(`${shown} is outside attachments.allowedDir`);
}

function isInside(dir: string, target: string): boolean {
  const path = relative(dir, target);
  return path !== '' && path !== '..' && !path.startsWith(`..${sep}`) && !isAbsolute(path);
}
