import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { json } from 'node:stream/consumers';
import type { ContractServer, ServerMail, ServerMood } from '../../src/testing/transport-checks.js';
import { atEnd } from './cleanup.js';
import { Listener } from './listener.js';

export type ProviderName = 'resend' | 'postmark' | 'sendgrid';

/** An answer as the provider's API gives it. */
export interface ProviderAnswer {
  status: number;
  body?: unknown;
  headers?: Record<string, string>;
}

/** A request that was made to the API. */
export interface ProviderRequest {
  headers: IncomingMessage['headers'];
  body: Record<string, unknown>;
}

/** The HTTP API of a provider, as its documentation says; stopped when the test file ends. */
export class ProviderStub implements ContractServer {
  readonly mails: ServerMail[] = [];
  readonly requests: ProviderRequest[] = [];
  /** Instead of what its mood says. */
  answer: ProviderAnswer | undefined;
  readonly url: string;
  private mood: ServerMood = { does: 'accept' };
  private readonly ids = new Map<string, string>();

  constructor(
    private readonly api: Api,
    port: number,
  ) {
    this.url = `http://127.0.0.1:${port}`;
  }

  behave(mood: ServerMood): void {
    this.mood = mood;
  }

  async handle(request: IncomingMessage, response: ServerResponse): Promise<void> {
    if (request.method !== 'POST' || request.url !== this.api.path) return reply(response, { status: 404 });
    const body = (await json(request)) as Record<string, unknown>;
    const { mood, api } = this;
    this.requests.push({ headers: request.headers, body });
    if (this.answer) return reply(response, this.answer);
    if (!api.isKnown(request.headers) || mood.does === 'be-down') return reply(response, api.wrongKey);
    const mail = api.mailOf(body);
    if (mood.does === 'be-busy') return reply(response, api.busy);
    if (mood.does === 'refuse-message') return reply(response, api.refusedMessage);
    if (mood.does === 'refuse-recipients' && mail.recipients.some((address) => mood.addresses.includes(address))) {
      return reply(response, api.refusedRecipient(mail.recipients[0]!));
    }
    // The same key is the same mail.
    const key = api.keyOf(request.headers);
    const known = key === undefined ? undefined : this.ids.get(key);
    if (known === undefined) this.mails.push(mail);
    const id = known ?? `00000000-0000-4000-8000-${String(this.mails.length).padStart(12, '0')}`;
    if (key !== undefined) this.ids.set(key, id);
    if (mood.does === 'say-nothing') return;
    if (mood.does === 'accept') await mood.after;
    reply(response, api.taken(id, mail));
  }
}

export async function startProvider(name: ProviderName): Promise<ProviderStub> {
  const server = createServer((request, response) => void stub.handle(request, response));
  const listener = await Listener.open(server);
  const stub = new ProviderStub(APIS[name], listener.port);
  atEnd(() => {
    listener.pause();
    server.closeAllConnections();
  });
  return stub;
}

function reply(response: ServerResponse, { status, body, headers }: ProviderAnswer): void {
  response.writeHead(status, { 'content-type': 'application/json', ...headers });
  response.end(body === undefined ? undefined : JSON.stringify(body));
}

/** What makes one API another than the next. */
interface Api {
  path: string;
  isKnown(headers: IncomingMessage['headers']): boolean;
  /** Of requests that are taken once. */
  keyOf(headers: IncomingMessage['headers']): string | undefined;
  mailOf(body: Record<string, unknown>): ServerMail;
  taken(id: string, mail: ServerMail): ProviderAnswer;
  wrongKey: ProviderAnswer;
  busy: ProviderAnswer;
  refusedMessage: ProviderAnswer;
  refusedRecipient(address: string): ProviderAnswer;
}

const KEY = 'provider-key';

const APIS: Record<ProviderName, Api> = {
  resend: {
    path: '/emails',
    isKnown: ({ authorization }) => authorization === `Bearer ${KEY}`,
    keyOf: (headers) => headers['idempotency-key'] as string | undefined,
    mailOf: ({ to = [], cc = [], bcc = [], ...rest }) => ({
      recipients: addressesOf(to, cc, bcc),
      visible: JSON.stringify({ to, cc, ...rest }),
    }),
    taken: (id) => ({ status: 200, body: { id } }),
    wrongKey: { status: 403, body: { statusCode: 403, name: 'invalid_api_key', message: 'API key is invalid' } },
    busy: {
      status: 429,
      body: {
        statusCode: 429,
        name: 'rate_limit_exceeded',
        message: 'Too many requests. You can only make 2 requests per second.',
      },
      headers: { 'retry-after': '1' },
    },
    refusedMessage: {
      status: 422,
      body: {
        statusCode: 422,
        name: 'validation_error',
        message: 'Invalid `attachments`: the content is not allowed.',
      },
    },
    refusedRecipient: () => ({
      status: 422,
      body: {
        statusCode: 422,
        name: 'validation_error',
        message: 'Invalid `to` field. The email address needs to follow the `email@example.com` format.',
      },
    }),
  },
  postmark: {
    path: '/email',
    isKnown: (headers) => headers['x-postmark-server-token'] === KEY,
    keyOf: () => undefined,
    mailOf: ({ To = '', Cc = '', Bcc = '', Headers = [], ...rest }) => ({
      recipients: [To, Cc, Bcc].flatMap((list) => addressesOf(String(list).split(', '))).filter(Boolean),
      visible: JSON.stringify({ To, Cc, Headers, ...rest }),
      ...keptId(Headers as { Name: string; Value: string }[]),
    }),
    taken: (MessageID, { recipients }) => ({
      status: 200,
      body: { To: recipients.join(', '), SubmittedAt: '2026-05-01T10:00:00Z', MessageID, ErrorCode: 0, Message: 'OK' },
    }),
    wrongKey: {
      status: 401,
      body: { ErrorCode: 10, Message: 'The Server Token you provided in the X-Postmark-Server-Token is invalid.' },
    },
    busy: { status: 429, body: { ErrorCode: 429, Message: 'Rate limit exceeded.' } },
    refusedMessage: { status: 422, body: { ErrorCode: 300, Message: 'Invalid email request: the body is empty.' } },
    refusedRecipient: (address) => ({
      status: 422,
      body: {
        ErrorCode: 406,
        Message: `You tried to send to recipient(s) that have been marked as inactive. Found inactive addresses: ${address}.`,
      },
    }),
  },
  sendgrid: {
    path: '/v3/mail/send',
    isKnown: ({ authorization }) => authorization === `Bearer ${KEY}`,
    keyOf: () => undefined,
    mailOf: ({ personalizations, headers, ...rest }) => {
      const [{ to = [], cc = [], bcc = [] } = {}] = personalizations as Record<string, { email: string }[]>[];
      const { 'Message-ID': messageId } = (headers ?? {}) as Record<string, string>;
      return {
        recipients: [...to, ...cc, ...bcc].map(({ email }) => email),
        visible: JSON.stringify({ to, cc, headers, ...rest }),
        ...(messageId === undefined ? {} : { messageId }),
      };
    },
    taken: (id) => ({ status: 202, headers: { 'x-message-id': id } }),
    wrongKey: {
      status: 401,
      body: { errors: [{ message: 'The provided authorization grant is invalid, expired, or revoked', field: null }] },
    },
    busy: { status: 429, body: { errors: [{ message: 'too many requests', field: null }] } },
    refusedMessage: {
      status: 400,
      body: { errors: [{ message: 'The attachment content must be base64 encoded.', field: 'attachments.0.content' }] },
    },
    refusedRecipient: () => ({
      status: 400,
      body: { errors: [{ message: 'Does not contain a valid address.', field: 'personalizations.0.to.0.email' }] },
    }),
  },
};

function keptId(headers: readonly { Name: string; Value: string }[]): Pick<ServerMail, 'messageId'> {
  const valueOf = (name: string): string | undefined => headers.find(({ Name }) => Name === name)?.Value;
  const messageId = valueOf('X-PM-KeepID') === 'true' ? valueOf('Message-ID') : undefined;
  return messageId === undefined ? {} : { messageId };
}

function addressesOf(...lists: unknown[]): string[] {
  return (lists as string[][]).flat().map((entry) => /<(.+)>$/.exec(entry)?.[1] ?? entry);
}
