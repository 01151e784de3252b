import { MailConfigError } from '../../errors.js';
import type { FeedbackSource } from '../../feedback/source.js';
import { fail, failUnseen, OptionReader } from '../options/reader.js';
import { parseUrlPath } from '../options/url-path.js';
import { parseSecrets } from '../options/secrets.js';
import { MAILS } from './endpoint.js';

/** The options of `MailFeedbackModule.forRoot()`. */
export interface MailFeedbackOptions {
  /** Below the application's global prefix; behind it comes the source's name. Default `'mail-feedback'`. */
  path?: string;
  /** The providers whose webhooks are taken. */
  sources?: readonly FeedbackSource[];
  /** Takes mails that came to the address for bounces, under the name `dsn`. Default: it does not. */
  mails?: {
    /**
     * Whoever hands one over has it as a bearer token: 32 letters, digits and any of `-._~+/` or more. Of a list each is one.
     */
    token: string | readonly string[];
  };
  /** Of a webhook's body, in bytes. Default 1,048,576. */
  maxBytes?: number;
  /** The mailer whose mail is reported of, of several. Default: the one without a name. */
  mailer?: string;
}

/** The same, checked. */
export interface FeedbackModuleSettings {
  /** Without slashes at its ends. */
  path: string;
  sources: ReadonlyMap<string, FeedbackSource>;
  mailTokens: readonly string[];
  maxBytes: number;
  mailer: string | undefined;
}

const NAME = /^[\w.-]{1,50}$/;
/** RFC 6750 §2.1. */
const TOKEN = /^[\w.~+/-]+=*$/;

/** @throws MailConfigError which never shows a secret */
export function parseFeedbackModule(options: MailFeedbackOptions): FeedbackModuleSettings {
  const reader = new OptionReader(options, '');
  const path = parseUrlPath(reader, 'mail-feedback', 'mail/feedback');
  const sources = parseSources(reader.raw('sources') ?? []);
  const mailTokens = parseTokens(reader);
  if (sources.size === 0 && mailTokens.length === 0) {
    throw new MailConfigError(
      'MailFeedbackModule has nobody to take reports from. Give it `sources`, such as the webhook of your provider with its secret, or `mails: { token }`.',
    );
  }
  const maxBytes = reader.integer('maxBytes', 1024 * 1024, 1_024, 64 * 1024 * 1024);
  const mailer = reader.string('mailer');
  reader.end();
  return { path, sources, mailTokens, maxBytes, mailer };
}

function parseSources(given: unknown): Map<string, FeedbackSource> {
  if (!Array.isArray(given)) fail('sources', given, 'Give a list of sources.');
  const sources = new Map<string, FeedbackSource>();
  for (const [index, entry] of given.entries()) {
    const source = entry as Partial<FeedbackSource> | null | undefined;
    if (typeof source?.read !== 'function') {
      fail(`sources[${index}]`, entry, 'Give a source, which has a `name` and a function `read`.');
    }
    const { name } = source;
    const path = `sources[${index}].name`;
    if (typeof name !== 'string' || !NAME.test(name)) fail(path, name, 'Give letters, digits, ., - and _.');
    if (name === MAILS) fail(path, name, 'That is the name under which mails are taken.');
    if (sources.has(name)) fail(path, name, 'Give each source a name of its own.');
    sources.set(name, source as FeedbackSource);
  }
  return sources;
}

function parseTokens(parent: OptionReader): readonly string[] {
  if (parent.raw('mails') === undefined) return [];
  const reader = parent.section('mails');
  const tokens = parseSecrets(reader, 'token');
  for (const token of tokens) {
    // Another character would fail as a header at each request.
    if (!TOKEN.test(token)) failUnseen(reader.pathOf('token'), token, "Give letters, digits and any of '-._~+/'.");
  }
  reader.end();
  return tokens;
}
