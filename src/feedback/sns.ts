import { verify } from 'node:crypto';
import { MailConfigError } from '../errors.js';
import type { Feedback } from './feedback.js';
import { readSesEvent } from './ses-events.js';
import { SnsCertificates, type Fetch } from './sns-certificates.js';
import { snsUrl } from './sns-url.js';
import { FeedbackRefusal, type FeedbackRequest, type FeedbackSource } from './source.js';

export interface SnsOptions {
  /** The topics whose messages are believed, such as `arn:aws:sns:eu-west-1:123456789012:mail`. */
  topics: readonly string[];
  /** Told that a subscription was confirmed, or has ended. Default: nobody. */
  onNotice?: (notice: string) => void;
  /** For tests. Default: Node's. */
  fetch?: Fetch;
}

/** What SNS posts. */
interface Envelope {
  Type: string;
  MessageId: string;
  TopicArn: string;
  Message: string;
  Timestamp: string;
  SignatureVersion: string;
  Signature: string;
  SigningCertURL: string;
  Subject?: string;
  Token?: string;
  SubscribeURL?: string;
}

const TOPIC = /^arn:aws[\w-]*:sns:([a-z\d-]+):\d{12}:[\w-]{1,256}(\.fifo)?$/;
/** A message of SNS has at most 256 KB, which JSON in JSON makes longer. */
const LONGEST = 1024 * 1024;
/** Milliseconds. */
const FRESH_FOR = 3_600_000;
const CLOCKS_DIFFER = 5 * 60_000;
const CONFIRM_WITHIN = 10_000;

const REQUIRED = [
  ...['Type', 'MessageId', 'TopicArn', 'Message', 'Timestamp'],
  ...['SignatureVersion', 'Signature', 'SigningCertURL'],
] as const;
/** What is signed, in this order. */
const OF_MESSAGES = ['Message', 'MessageId', 'Subject', 'Timestamp', 'TopicArn', 'Type'] as const;
const OF_CONFIRMATIONS = ['Message', 'MessageId', 'SubscribeURL', 'Timestamp', 'Token', 'TopicArn', 'Type'] as const;
const SIGNED = new Map<string, readonly (keyof Envelope)[]>([
  ['Notification', OF_MESSAGES],
  ['SubscriptionConfirmation', OF_CONFIRMATIONS],
  ['UnsubscribeConfirmation', OF_CONFIRMATIONS],
]);
const HASHES = new Map([
  ['1', 'RSA-SHA1'],
  ['2', 'RSA-SHA256'],
]);

/**
 * Events of Amazon SES that SNS posts. A message is believed that names one of the topics, is fresh, and is signed with a
 * certificate of SNS in the topic's region. A subscription to one of the topics is confirmed by itself.
 */
export class SnsSource implements FeedbackSource {
  readonly name = 'ses';
  private readonly regions: ReadonlyMap<string, string>;
  private readonly certificates: SnsCertificates;
  private readonly fetch: Fetch;

  /** @throws MailConfigError a topic is none */
  constructor(private readonly options: SnsOptions) {
    this.regions = new Map(options.topics.map((topic) => [topic, regionOf(topic)]));
    if (this.regions.size === 0) throw new MailConfigError('No topic of SNS is given. Give the ARN of at least one.');
    this.fetch = options.fetch ?? fetch;
    this.certificates = new SnsCertificates(this.fetch);
  }

  /** @throws FeedbackRefusal; Error where SNS cannot be asked, and should post it again */
  async read({ headers, body, now }: FeedbackRequest): Promise<Feedback[]> {
    if (headers['x-amz-sns-rawdelivery'] === 'true') {
      throw malformed('is delivered raw, and so not signed. Turn raw message delivery off for the subscription');
    }
    const envelope = parse(body);
    const region = this.regions.get(envelope.TopicArn);
    if (region === undefined) throw new FeedbackRefusal('unknown-topic', 'The topic is none that is listened to');
    checkAge(envelope.Timestamp, now);
    await this.checkSignature(envelope, region, now);
    if (envelope.Type === 'Notification') return readMessage(envelope.Message);
    if (envelope.Type === 'SubscriptionConfirmation') await this.confirm(envelope, region);
    else this.options.onNotice?.(`The subscription to the topic ${envelope.TopicArn} has ended`);
    return [];
  }

  private async checkSignature(envelope: Envelope, region: string, now: Date): Promise<void> {
    const hash = HASHES.get(envelope.SignatureVersion);
    const fields = SIGNED.get(envelope.Type);
    if (!hash || !fields) throw malformed('is of a type or signature version that SNS does not have');
    const certificate = await this.certificates.get(envelope.SigningCertURL, region, now);
    const signed = fields.map((name) => (envelope[name] === undefined ? '' : `${name}\n${envelope[name]}\n`)).join('');
    const signature = Buffer.from(envelope.Signature, 'base64');
    if (!verify(hash, Buffer.from(signed), certificate, signature)) throw forged('Its signature does not fit');
  }

  /** The address is SNS's own, and confirms this topic alone. */
  private async confirm({ SubscribeURL = '', TopicArn, Token }: Envelope, region: string): Promise<void> {
    const url = snsUrl(SubscribeURL, region);
    const asked = [...(url?.searchParams ?? [])].sort().join(' ');
    const expected = [
      ['Action', 'ConfirmSubscription'],
      ['Token', Token ?? ''],
      ['TopicArn', TopicArn],
    ].join(' ');
    if (url?.pathname !== '/' || asked !== expected) throw forged('It asks to confirm something else');
    const response = await this.fetch(url.href, { redirect: 'error', signal: AbortSignal.timeout(CONFIRM_WITHIN) });
    await response.body?.cancel();
    if (!response.ok) throw new Error(`SNS did not confirm the subscription to ${TopicArn}: HTTP ${response.status}`);
    this.options.onNotice?.(`The subscription to the topic ${TopicArn} is confirmed`);
  }
}

function regionOf(topic: string): string {
  const region = TOPIC.exec(topic)?.[1];
  if (region === undefined) {
    throw new MailConfigError(
      `The SNS topic ${JSON.stringify(topic)} is none. Give its ARN, such as arn:aws:sns:eu-west-1:123456789012:mail.`,
    );
  }
  return region;
}

function parse(body: Buffer): Envelope {
  if (body.length > LONGEST) throw malformed(`has ${body.length} bytes`);
  let json: unknown;
  try {
    json = JSON.parse(body.toString());
  } catch (error) {
    throw malformed('is no JSON', error);
  }
  const fields = (typeof json === 'object' && json !== null ? json : {}) as Record<string, unknown>;
  const missing = REQUIRED.find((name) => typeof fields[name] !== 'string');
  if (missing) throw malformed(`has no ${missing}`);
  const wrong = ['Subject', 'Token', 'SubscribeURL'].find(
    (name) => !['string', 'undefined'].includes(typeof fields[name]),
  );
  if (wrong) throw malformed(`has a ${wrong} that is no text`);
  return fields as unknown as Envelope;
}

function checkAge(timestamp: string, now: Date): void {
  const age = now.getTime() - Date.parse(timestamp);
  if (Number.isNaN(age)) throw malformed('has no time');
  if (age > FRESH_FOR || age < -CLOCKS_DIFFER)
    throw new FeedbackRefusal('stale', `It is of ${new Date(timestamp).toISOString()}`);
}

function readMessage(message: string): Feedback[] {
  // SES tries a new destination with a sentence.
  if (!message.trimStart().startsWith('{')) return [];
  let json: unknown;
  try {
    json = JSON.parse(message);
  } catch (error) {
    throw malformed('holds no JSON', error);
  }
  return readSesEvent(json);
}

function malformed(what: string, cause?: unknown): FeedbackRefusal {
  return new FeedbackRefusal('malformed', `What SNS posted ${what}`, cause === undefined ? {} : { cause });
}

function forged(why: string): FeedbackRefusal {
  return new FeedbackRefusal('forged', why);
}
