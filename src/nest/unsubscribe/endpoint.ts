import type { ServerResponse } from 'node:http';
import type { UnsubscribeClaims } from '../../feedback/unsubscribe-token.js';
import { readForm, type Form, type FormRequest } from './form.js';
import {
  BY_PAGE,
  CONTENT_SECURITY_POLICY,
  ONE_CLICK,
  renderPage,
  UNDO,
  type UnsubscribeTexts,
  type UnsubscribeView,
} from './page.js';
import type { MailUnsubscriptions } from './mail-unsubscriptions.js';

export interface EndpointOptions {
  /** Who has unsubscribed may take it back. */
  undo: boolean;
  /** By the request's Accept-Language. */
  texts: (languages: string | undefined) => Partial<UnsubscribeTexts> | undefined;
  /** Names of lists for people. */
  lists: Readonly<Record<string, string>>;
  onError(error: unknown): void;
}

type EndpointRequest = FormRequest & { originalUrl?: string };

interface Answer {
  status: number;
  view: UnsubscribeView;
  headers?: Record<string, string>;
}

/** POSTs that are worked on at once; the store would get all of them otherwise. */
const MAX_AT_ONCE = 100;

/**
 * Serves the links of mails, on any HTTP server of Node. It asks for no cookie and sets none, and never redirects: mail programs
 * have neither (RFC 8058 §3.1). To look at the page changes nothing, since scanners of mail follow each link.
 */
export class UnsubscribeEndpoint {
  private working = 0;

  constructor(
    private readonly unsubscriptions: MailUnsubscriptions,
    private readonly options: EndpointOptions,
  ) {}

  /** Never rejects. */
  async handle(request: EndpointRequest, response: ServerResponse): Promise<void> {
    try {
      await this.serve(request, response);
    } catch (error) {
      this.options.onError(error);
      response.destroy();
    }
  }

  private async serve(request: EndpointRequest, response: ServerResponse): Promise<void> {
    const { status, view, headers } = await this.answer(request).catch((error: unknown) => {
      this.options.onError(error);
      return UNAVAILABLE;
    });
    const page = renderPage(view, this.textsFor(request));
    // What is left of a body that was not read would be taken for the next request.
    const close = request.complete ? {} : { Connection: 'close' };
    response.writeHead(status, { ...HEADERS, 'Content-Length': Buffer.byteLength(page), ...headers, ...close });
    response.end(request.method === 'HEAD' ? undefined : page);
  }

  /** The application's, where it has some. */
  private textsFor(request: EndpointRequest): Partial<UnsubscribeTexts> {
    try {
      return this.options.texts(request.headers['accept-language']) ?? {};
    } catch (error) {
      this.options.onError(error);
      return {};
    }
  }

  private async answer(request: EndpointRequest): Promise<Answer> {
    const { method = '' } = request;
    if (!METHODS.includes(method))
      return { status: 405, view: { kind: 'invalid' }, headers: { Allow: METHODS.join(', ') } };
    const token = tokenIn(request.originalUrl ?? request.url ?? '');
    const read = this.unsubscriptions.read(token);
    if (read.state === 'invalid') return INVALID;
    if (read.state === 'expired') return { status: 410, view: { kind: 'expired' } };
    if (method !== 'POST') return this.shown('question', read.claims);
    if (this.working >= MAX_AT_ONCE) return UNAVAILABLE;
    this.working++;
    try {
      return await this.post(await readForm(request), token, read.claims);
    } finally {
      this.working--;
    }
  }

  private async post(form: Form, token: string, claims: UnsubscribeClaims): Promise<Answer> {
    if (form === 'too large') return { ...INVALID, status: 413 };
    if (form === 'too slow') return { ...INVALID, status: 408 };
    if (typeof form === 'string') return INVALID;
    const has = ([name, value]: readonly [string, string]): boolean => form.get(name) === value;
    if (has(ONE_CLICK)) {
      await this.unsubscriptions.unsubscribe(token, has(BY_PAGE) ? 'page' : 'one-click');
      return this.shown('done', claims);
    }
    if (!has(UNDO) || !this.options.undo) return INVALID;
    await this.unsubscriptions.resubscribe(token);
    return this.shown('undone', claims);
  }

  private shown(kind: 'question' | 'done' | 'undone', { address, list }: UnsubscribeClaims): Answer {
    const { undo, lists } = this.options;
    const named = list === undefined ? {} : { list: Object.hasOwn(lists, list) ? lists[list]! : list };
    return { status: 200, view: { kind, address, undo, ...named } };
  }
}

function tokenIn(url: string): string {
  const at = url.indexOf('?');
  return at < 0 ? '' : (new URLSearchParams(url.slice(at)).get('token') ?? '');
}

const METHODS = ['GET', 'HEAD', 'POST'];
const INVALID: Answer = { status: 400, view: { kind: 'invalid' } };
const UNAVAILABLE: Answer = { status: 503, view: { kind: 'unavailable' }, headers: { 'Retry-After': '60' } };

const HEADERS = {
  'Content-Type': 'text/html; charset=utf-8',
  'Content-Security-Policy': CONTENT_SECURITY_POLICY,
  'Cache-Control': 'no-store',
  'Referrer-Policy': 'no-referrer',
  'X-Content-Type-Options': 'nosniff',
  'X-Robots-Tag': 'noindex, nofollow',
};
