import { randomUUID } from 'node:crypto';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { text } from 'node:stream/consumers';
import { setTimeout as sleep } from 'node:timers/promises';
import { atEnd } from './cleanup.js';
import { Listener } from './listener.js';

/** The key that the stub knows. */
export const SES_KEY = { accessKeyId: 'AKIDEXAMPLE', secretAccessKey: 's3cret-s3cret-s3cret' };

export interface SesMail {
  id: string;
  /** Its From, as readers see it. */
  from: string;
  to: string[];
  /** As it arrives: `FromEmailAddress` takes the place of its From. */
  raw: Buffer;
  tags: Record<string, string>;
  configurationSet: string | undefined;
  /** When it was accepted; milliseconds since the epoch. */
  at: number;
}

/** An error as SES answers it. */
export interface SesRefusal {
  status?: number;
  type: string;
  message?: string;
  headers?: Record<string, string>;
}

/** What becomes of a request instead: the connection is lost, before or after the mail was accepted, or nothing comes. */
export type SesFault = 'reset' | 'reset-accepted' | 'silence';

type Verdict = SesRefusal | SesFault | undefined;

export interface SesAccountAnswer {
  SendingEnabled?: boolean;
  ProductionAccessEnabled?: boolean;
  EnforcementStatus?: string;
  SendQuota?: { Max24HourSend: number; MaxSendRate: number; SentLast24Hours: number };
}

interface SendEmail {
  FromEmailAddress?: string;
  Destination?: { ToAddresses?: string[]; CcAddresses?: string[]; BccAddresses?: string[] };
  Content?: { Raw?: { Data?: string } };
  EmailTags?: { Name: string; Value: string }[];
  ConfigurationSetName?: string;
}

/** Amazon SES, as far as version 2 of its API sends mail: what it accepts it keeps, and delivers to nobody. */
export class SesStub {
  readonly received: SesMail[] = [];
  /** Requests to send that were read in full. */
  requests = 0;
  connections = 0;
  throttled = 0;
  asked = 0;
  /** Recipients a second; more are refused, by a bucket of as many tokens. */
  perSecond = Infinity;
  /** The domains that may send; any may without. */
  verified: string[] | undefined;
  /** Milliseconds before a request to send is answered. */
  delay = 0;
  account: SesAccountAnswer | SesRefusal = {};
  onSend: (mail: SesMail) => Verdict | Promise<Verdict> = () => undefined;
  readonly url: string;
  private tokens = Infinity;
  private filledAt = 0;

  constructor(readonly listener: Listener) {
    this.url = `http://127.0.0.1:${listener.port}`;
  }

  reset(): void {
    this.received.length = 0;
    this.requests = this.connections = this.throttled = this.asked = this.delay = 0;
    this.perSecond = this.tokens = Infinity;
    this.verified = undefined;
    this.account = {};
    this.onSend = () => undefined;
  }

  /** Whether there are tokens for so many. The first ones come back only when one was refused, so that slow tests meet that too. */
  take(count: number): boolean {
    const now = performance.now();
    const filled = this.throttled > 0 ? ((now - this.filledAt) / 1_000) * this.perSecond : 0;
    this.tokens = Math.min(this.perSecond, this.tokens + filled);
    this.filledAt = now;
    if (this.tokens < count) return false;
    this.tokens -= count;
    return true;
  }
}

export async function startSesStub(): Promise<SesStub> {
  const server = createServer((request, response) => void serve(stub, request, response));
  server.on('connection', () => stub.connections++);
  const stub = new SesStub(await Listener.open(server));
  atEnd(() => {
    stub.listener.pause();
    server.closeAllConnections();
  });
  return stub;
}

async function serve(stub: SesStub, request: IncomingMessage, response: ServerResponse): Promise<void> {
  try {
    const fault = await answerTo(stub, request, response);
    if (fault) request.socket.destroy();
  } catch {
    // The client has hung up.
    request.socket.destroy();
  }
}

async function answerTo(
  stub: SesStub,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<SesFault | undefined> {
  const body = await text(request);
  const unsigned = signatureFault(request);
  if (unsigned) return refuse(response, unsigned);
  const route = `${request.method} ${request.url}`;
  if (route === 'GET /v2/email/account') {
    stub.asked++;
    if ('type' in stub.account) return refuse(response, stub.account);
    return answer(response, 200, {
      SendingEnabled: true,
      ProductionAccessEnabled: true,
      EnforcementStatus: 'HEALTHY',
      SendQuota: { Max24HourSend: 50_000, MaxSendRate: 1_000, SentLast24Hours: 0 },
      ...stub.account,
    });
  }
  if (route !== 'POST /v2/email/outbound-emails') return refuse(response, { status: 404, type: 'UnknownOperation' });
  stub.requests++;
  const input = JSON.parse(body) as SendEmail;
  const invalid = inputFault(input);
  if (invalid) return refuse(response, { type: 'BadRequestException', message: invalid });
  const mail = mailOf(input);
  const identity = /@([^\s<>]+)>?$/.exec(mail.from)?.[1] ?? mail.from;
  if (stub.verified?.includes(identity) === false) {
    const message = `Email address is not verified. The following identities failed the check in region EU-WEST-1: ${identity}`;
    return refuse(response, { type: 'MessageRejected', message });
  }
  const verdict = await stub.onSend(mail);
  if (verdict === 'silence') return undefined;
  if (verdict === 'reset') return verdict;
  if (typeof verdict === 'object') return refuse(response, verdict);
  if (stub.perSecond < Infinity && !stub.take(mail.to.length)) {
    stub.throttled++;
    return refuse(response, {
      status: 429,
      type: 'TooManyRequestsException',
      message: 'Maximum sending rate exceeded.',
    });
  }
  if (stub.delay > 0) await sleep(stub.delay);
  mail.at = Date.now();
  stub.received.push(mail);
  return verdict ?? answer(response, 200, { MessageId: mail.id });
}

const FROM = /^From: *((?:.|\r\n[ \t])*)/im;

function arriving(raw: Buffer, from: string | undefined): Buffer {
  if (from === undefined) return raw;
  return Buffer.from(raw.toString('latin1').replace(FROM, `From: ${from}`), 'latin1');
}

function mailOf(input: SendEmail): SesMail {
  const { ToAddresses = [], CcAddresses = [], BccAddresses = [] } = input.Destination ?? {};
  const raw = arriving(Buffer.from(input.Content!.Raw!.Data!, 'base64'), input.FromEmailAddress);
  return {
    id: `0102${randomUUID()}-000000`,
    from: FROM.exec(raw.toString('latin1'))?.[1] ?? '',
    to: [...ToAddresses, ...CcAddresses, ...BccAddresses],
    raw,
    tags: Object.fromEntries((input.EmailTags ?? []).map(({ Name, Value }) => [Name, Value])),
    configurationSet: input.ConfigurationSetName,
    at: 0,
  };
}

function inputFault({ Destination, Content, EmailTags = [] }: SendEmail): string | undefined {
  if (!Content?.Raw?.Data) return 'Content is missing';
  const to = Object.values(Destination ?? {}).flat();
  if (to.length === 0) return 'Destination is missing';
  if (to.length > 50) return 'Recipient count exceeds 50';
  const tag = EmailTags.find(({ Name, Value }) => ![Name, Value].every((one) => /^[A-Za-z0-9_-]{1,256}$/.test(one)));
  return tag && `Invalid tag ${tag.Name}`;
}

function signatureFault({ headers }: IncomingMessage): SesRefusal | undefined {
  const { authorization = '' } = headers;
  if (authorization === '') return { status: 403, type: 'MissingAuthenticationTokenException', message: 'Missing' };
  const [, key, region] =
    /^AWS4-HMAC-SHA256 Credential=([^/]+)\/\d{8}\/([^/]+)\/ses\/aws4_request, SignedHeaders=\S+, Signature=[\da-f]{64}$/.exec(
      authorization,
    ) ?? [];
  if (region === undefined || headers['x-amz-date'] === undefined) {
    return { status: 403, type: 'IncompleteSignatureException', message: `Authorization=${authorization}` };
  }
  if (key === SES_KEY.accessKeyId) return undefined;
  return {
    status: 403,
    type: 'UnrecognizedClientException',
    message: 'The security token included in the request is invalid.',
  };
}

function refuse(response: ServerResponse, { status = 400, type, message = '', headers = {} }: SesRefusal): undefined {
  for (const [name, value] of Object.entries(headers)) response.setHeader(name, value);
  response.setHeader('x-amzn-ErrorType', `${type}:http://internal.amazon.com/coral/com.amazonaws.services.email/`);
  return answer(response, status, { message });
}

function answer(response: ServerResponse, status: number, body: object): undefined {
  response.setHeader('x-amzn-RequestId', randomUUID());
  response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body));
}
