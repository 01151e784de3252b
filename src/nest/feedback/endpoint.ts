import type { IncomingMessage, ServerResponse } from 'node:http';
import { MailQueueUnavailableError } from '../../errors.js';
import { isSame } from '../../feedback/providers/webhook.js';
import { FeedbackRefusal, type FeedbackSource, type RefusalReason } from '../../feedback/source.js';
import type { MailFeedback } from '../mail-feedback.js';
import { readBody, type Hold, type NoBody } from '../request-body.js';

/** The source under which mails are handed over. */
export const MAILS = 'dsn';

export interface EndpointOptions {
  sources: ReadonlyMap<string, FeedbackSource>;
  /** Whoever has one of them may hand over mails. None: nobody may. */
  mailTokens: readonly string[];
  /** Bytes of a webhook. */
  maxBytes: number;
  onWarning(warning: string): void;
  onError(error: Error): void;
}

interface Answer {
  status: number;
  headers?: Record<string, string>;
  body?: object;
}

const OK: Answer = { status: 200 };
const FAILED: Answer = { status: 500 };
/** Whoever reports tries again. */
const AGAIN: Answer = { status: 503, headers: { 'Retry-After': '30' } };
const WRONG_METHOD: Answer = { status: 405, headers: { Allow: 'POST' } };
const UNAUTHORIZED: Answer = { status: 401, headers: { 'WWW-Authenticate': 'Bearer' } };

const REFUSED: Readonly<Record<RefusalReason, Answer>> = {
  forged: { status: 401 },
  stale: { status: 403 },
  'unknown-topic': { status: 403 },
  malformed: { status: 400 },
};
const UNREAD: Readonly<Record<Exclude<NoBody, 'gone'>, Answer>> = {
  'too large': { status: 413 },
  'too slow': { status: 408 },
  'cut off': { status: 400 },
  'no room': AGAIN,
};

/** Requests whose bodies fit into memory at once, each of the largest. Slow ones that have sent little take little of it. */
const MAX_AT_ONCE = 100;
/** Of a mail; servers return all of a message, attachments included, and its beginning is read. */
const MAX_MAIL = 64 * 1024 * 1024;
const KEPT_OF_MAIL = 1024 * 1024;
/** The same is logged once in this long. Milliseconds. */
const WARN_EVERY = 60_000;

const GONE =
  'Something has read the body of a report before MailFeedbackModule could, and its signature is of the bytes. Create the application with NestFactory.create(), or register what parses bodies behind it; in a serverless function hand over `rawBody`.';

/** Takes reports by HTTP, on any server of Node. It tells callers nothing but whether to try again. */
export class FeedbackEndpoint {
  /** Bytes of requests that are being read or worked on. */
  private held = 0;
  private readonly warnedAt = new Map<string, number>();

  constructor(
    private readonly feedback: MailFeedback,
    private readonly options: EndpointOptions,
  ) {}

  /** @param source the last part of the path, of one that is taken here */
  async handle(source: string, request: IncomingMessage, response: ServerResponse): Promise<void> {
    let answer: Answer;
    try {
      answer = await this.answer(source, request);
    } catch (error) {
      // The store is away, or a certificate cannot be fetched: the same report may be taken later.
      if (!(error instanceof MailQueueUnavailableError)) this.options.onError(error as Error);
      else this.warn(source, 'unavailable', `A report from ${source} could not be taken: ${error.message}`);
      answer = AGAIN;
    }
    const { status, headers, body } = answer;
    const text = body ? JSON.stringify(body) : '';
    const type = body ? { 'Content-Type': 'application/json' } : {};
    // What is left of a body that was not read would be taken for the next request.
    const close = request.complete ? {} : { Connection: 'close' };
    response.writeHead(status, { 'Content-Length': Buffer.byteLength(text), ...type, ...headers, ...close });
    response.end(text);
    // Whoever is still sending does not see an answer before that.
    request.resume();
  }

  private async answer(name: string, request: IncomingMessage): Promise<Answer> {
    const isMail = name === MAILS;
    const source = this.options.sources.get(name);
    if (request.method !== 'POST') return WRONG_METHOD;
    if (isMail && !this.isAuthorized(request))
      return this.refuse(name, 'unauthorized', 'no valid bearer token', UNAUTHORIZED);
    let own = 0;
    const hold = (bytes: number): boolean => {
      if (this.held + bytes > MAX_AT_ONCE * Math.max(this.options.maxBytes, KEPT_OF_MAIL)) return false;
      this.held += bytes;
      own += bytes;
      return true;
    };
    try {
      return await (source ? this.webhook(source, request, hold) : this.mail(request, hold));
    } finally {
      this.held -= own;
    }
  }

  private async webhook(source: FeedbackSource, request: IncomingMessage, hold: Hold): Promise<Answer> {
    const { name } = source;
    const body = await readBody(request, { max: this.options.maxBytes, hold });
    if (!Buffer.isBuffer(body)) return this.unread(name, body, this.options.maxBytes);
    try {
      const reports = await source.read({ headers: lastHeaders(request), body, now: new Date() });
      const malformed = await this.feedback.take(reports, name);
      if (malformed !== undefined)
        this.warn(name, 'malformed', `Some of what ${name} reports is no report: ${malformed}`);
      return OK;
    } catch (error) {
      if (!(error instanceof FeedbackRefusal)) throw error;
      return this.refuse(name, error.reason, error.message, REFUSED[error.reason]);
    }
  }

  private async mail(request: IncomingMessage, hold: Hold): Promise<Answer> {
    const body = await readBody(request, { max: MAX_MAIL, keep: KEPT_OF_MAIL, hold });
    if (!Buffer.isBuffer(body)) return this.unread(MAILS, body, MAX_MAIL);
    const to = lastHeaders(request)['x-envelope-to'];
    return { status: 200, body: await this.feedback.readMail(body, to === undefined ? {} : { to }) };
  }

  private unread(source: string, why: NoBody, max: number): Answer {
    if (why === 'gone') {
      this.options.onError(new Error(GONE));
      return FAILED;
    }
    if (why !== 'too large') return UNREAD[why];
    return this.refuse(source, 'oversized', `it has more than ${max} bytes`, UNREAD[why]);
  }

  private refuse(source: string, reason: string, why: string, answer: Answer): Answer {
    this.feedback.refuse(source, reason);
    this.warn(source, reason, `A request that claims to be a report from ${source} was refused as ${reason}: ${why}`);
    return answer;
  }

  private warn(source: string, reason: string, warning: string): void {
    const key = `${source} ${reason}`;
    const now = Date.now();
    if (now - (this.warnedAt.get(key) ?? 0) < WARN_EVERY) return;
    this.warnedAt.set(key, now);
    this.options.onWarning(warning);
  }

  private isAuthorized(request: IncomingMessage): boolean {
    const [, token = ''] = /^Bearer +(\S+)$/i.exec(request.headers.authorization ?? '') ?? [];
    return this.options.mailTokens.some((known) => isSame(known, token));
  }
}

/** Node joins several values of one name; a proxy's own comes last. */
function lastHeaders({ rawHeaders }: IncomingMessage): Record<string, string> {
  const headers: Record<string, string> = {};
  for (let at = 0; at + 1 < rawHeaders.length; at += 2) headers[rawHeaders[at]!.toLowerCase()] = rawHeaders[at + 1]!;
  return headers;
}
