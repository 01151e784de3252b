import { readFile, realpath, stat } from 'node:fs/promises';
import { basename, isAbsolute, relative, resolve, sep } from 'node:path';
import { MailValidationError, reasonOf } from '../errors.js';
import type { AttachmentDto } from './dto.js';
import type { Limits } from './limits.js';
import type { Attachment } from './message.js';

export interface AttachmentRules {
  /** The only folder attachments are read from by `path`. None: every path is refused. */
  allowedDir?: string;
}

/**
 * Brings the attachments' bytes together, so that a message can be sent again without its source.
 *
 * @throws MailValidationError naming the attachment that is too large, unreadable or not allowed
 */
export async function readAttachments(
  inputs: readonly AttachmentDto[],
  limits: Limits,
  rules: AttachmentRules,
): Promise<Attachment[]> {
  if (inputs.length > limits.attachments) {
    refuse('attachments', `${inputs.length} attachments, more than limits.attachments (${limits.attachments})`);
  }
  const attachments: Attachment[] = [];
  let room = limits.attachmentBytes;
  for (const [index, input] of inputs.entries()) {
    const path = `attachments[${index}]`;
    const content = await readContent(input, path, room, rules);
    room -= content.length;
    if (room < 0) tooLarge(path, limits.attachmentBytes);
    const filename = input.filename ?? (input.path === undefined ? undefined : basename(input.path));
    attachments.push({
      content,
      disposition: input.contentDisposition ?? (input.cid === undefined ? 'attachment' : 'inline'),
      ...(filename === undefined ? {} : { filename: filename.toWellFormed() }),
      ...(input.contentType === undefined ? {} : { contentType: input.contentType }),
      ...(input.cid === undefined ? {} : { cid: input.cid }),
    });
  }
  return attachments;

  function tooLarge(path: string, limit: number): never {
    refuse(path, `the attachments together are larger than limits.attachmentBytes (${limit})`);
  }
}

async function readContent(input: AttachmentDto, path: string, room: number, rules: AttachmentRules): Promise<Buffer> {
  const { content } = input;
  if (input.path !== undefined && content !== undefined) refuse(path, 'has both content and path; give one of them');
  if (input.path !== undefined) return readAllowed(input.path, `${path}.path`, room, rules);
  if (content === undefined) refuse(path, 'has neither content nor path');
  if (typeof content === 'string') return Buffer.from(content, input.encoding ?? 'utf8');
  if (content instanceof Uint8Array) return Buffer.from(content.buffer, content.byteOffset, content.byteLength);
  return readStream(content, `${path}.content`, room);
}

async function readStream(stream: AsyncIterable<Buffer | string>, path: string, room: number): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let size = 0;
  try {
    for await (const chunk of stream) {
      const bytes = typeof chunk === 'string' ? Buffer.from(chunk) : chunk;
      size += bytes.length;
      chunks.push(bytes);
      if (size > room) break;
    }
  } catch (error) {
    refuse(path, `the stream failed: ${reasonOf(error)}`);
  }
  return Buffer.concat(chunks);
}

async function readAllowed(file: string, path: string, room: number, rules: AttachmentRules): Promise<Buffer> {
  if (rules.allowedDir === undefined) {
    refuse(path, 'files are not read unless attachments.allowedDir names the folder they may come from');
  }
  try {
    const dir = await realpath(rules.allowedDir);
    const target = await realpath(resolve(dir, file));
    const inside = relative(dir, target);
    if (inside === '' || inside === '..' || inside.startsWith(`..${sep}`) || isAbsolute(inside)) {
      refuse(path, `${JSON.stringify(file)} is outside attachments.allowedDir`);
    }
    const { size } = await stat(target);
    if (size > room) refuse(path, 'the attachments together are larger than limits.attachmentBytes');
    return await readFile(target);
  } catch (error) {
    if (error instanceof MailValidationError) throw error;
    refuse(
      path,
      `${JSON.stringify(file)} cannot be read from attachments.allowedDir: ${(error as { code?: string }).code ?? 'unknown'}`,
    );
  }
}

function refuse(path: string, message: string): never {
  throw new MailValidationError([{ path, message }]);
}
