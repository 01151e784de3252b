import { readFile } from 'node:fs/promises';
import { basename, resolve } from 'node:path';
import { text as textOf } from 'node:stream/consumers';
import { reasonOf } from '../errors.js';
import type { AttachmentInput, MailContentInput } from '../message/message.js';
import { withoutNothing } from '../nest/without-nothing.js';
import type { Context, Input } from './context.js';
import { UsageError } from './failure.js';

/** What a mail says, by the options of a command. */
export interface ContentOptions {
  from?: string;
  replyTo?: string;
  subject?: string;
  text?: string;
  textFile?: string;
  html?: string;
  htmlFile?: string;
  template?: string;
  context?: string;
  locale?: string;
  header?: readonly string[];
  attach?: readonly string[];
  transport?: string;
}

type Places = Pick<Context, 'cwd' | 'input'>;

/** In place of a file: standard input. */
const STANDARD_INPUT = '-';

/**
 * Reads the files that the options name. What is piped into the command is the text, where nothing else says what the mail is
 * to say.
 *
 * @throws UsageError
 */
export async function readContent(options: ContentOptions, places: Places): Promise<MailContentInput> {
  const { from, replyTo, subject, template, locale, transport, context, header, attach = [] } = options;
  if (options.textFile === STANDARD_INPUT && options.htmlFile === STANDARD_INPUT) {
    throw new UsageError('Only one of --text-file and --html-file can be standard input.');
  }
  const html = await bodyOf('html', options.html, options.htmlFile, places);
  const text = await bodyOf('text', options.text, options.textFile, places);
  const isSaid = html !== undefined || text !== undefined || template !== undefined;
  return withoutNothing({
    from,
    replyTo,
    subject,
    html,
    text: isSaid ? text : await pipedText(places.input()),
    template,
    locale,
    transport,
    context: context === undefined ? undefined : parseContext(context),
    headers: header && parseHeaders(header),
    attachments: attach.length === 0 ? undefined : await Promise.all(attach.map((file) => attachment(file, places))),
  });
}

async function bodyOf(
  name: string,
  given: string | undefined,
  file: string | undefined,
  { cwd, input }: Places,
): Promise<string | undefined> {
  if (file === undefined) return given;
  if (given !== undefined) throw new UsageError(`Give either --${name} or --${name}-file.`);
  if (file !== STANDARD_INPUT) return withoutMark((await readNamed(file, cwd)).toString('utf8'));
  return (await pipedText(input())) ?? fail(`There is no standard input for --${name}-file -.`);
}

async function pipedText(input: Input | undefined): Promise<string | undefined> {
  return input === undefined || input.isTTY === true ? undefined : withoutMark(await textOf(input));
}

/** What editors on Windows put before UTF-8. */
function withoutMark(text: string): string {
  return text.replace(/^\ufeff/, '');
}

/** Read by the command itself, for whoever types it: `attachments.allowedDir` is about what others say. */
async function attachment(file: string, { cwd }: Places): Promise<AttachmentInput> {
  return { filename: basename(file), content: await readNamed(file, cwd) };
}

async function readNamed(file: string, cwd: string): Promise<Buffer> {
  try {
    return await readFile(resolve(cwd, file));
  } catch (error) {
    throw new UsageError(`${file} cannot be read: ${reasonOf(error)}.`, { cause: error });
  }
}

function parseContext(json: string): object {
  try {
    const context: unknown = JSON.parse(json);
    if (typeof context === 'object' && context !== null && !Array.isArray(context)) return context;
  } catch {
    // Node.js would quote it.
  }
  return fail(`--context is no object in JSON. Give one such as '{"name":"Ann"}'.`);
}

/** The same header more than once is there more than once. */
function parseHeaders(lines: readonly string[]): Record<string, string[]> {
  const headers: Record<string, string[]> = {};
  for (const line of lines) {
    const [, name = '', value = ''] = /^([^\s:]+):\s*(.*)$/s.exec(line) ?? [];
    if (name === '') fail(`--header ${JSON.stringify(line)} is no header. Give one such as 'X-Campaign: spring'.`);
    (headers[name] ??= []).push(value);
  }
  return headers;
}

function fail(message: string): never {
  throw new UsageError(message);
}
