import { createHash } from 'node:crypto';
import { ID_TAG } from '../../message/tags.js';
import type { Feedback, FeedbackMatch } from '../feedback.js';
import { FeedbackRefusal, type FeedbackRequest, type FeedbackSource } from '../source.js';
import {
  fieldsIn,
  fieldsOf,
  header,
  isSame,
  parseBody,
  requireSecret,
  saidBy,
  textIn,
  textOf,
  timeOf,
  type Fields,
} from './webhook.js';

/** Postmark signs nothing: it sends what its webhook was given, in the URL (`https://user:password@…`) or as a header. */
export type PostmarkFeedbackOptions = {
  /** The last part of its path. Default `'postmark'`. */
  name?: string;
} & ({ username: string; password: string } | { header: string; secret: string });

/** What is told of a bounce and is none, or is told by another record. */
const NO_BOUNCES: ReadonlySet<string> = new Set([
  'Subscribe',
  'AutoResponder',
  'AddressChange',
  'OpenRelayTest',
  'ChallengeVerification',
  'InboundError',
  'SMTPApiError',
  'TemplateRenderingFailed',
]);
const HARD_BOUNCES: ReadonlySet<string> = new Set(['HardBounce', 'BadEmailAddress', 'ManuallyDeactivated']);

/** Webhooks of Postmark, one event each. */
export class PostmarkFeedback implements FeedbackSource {
  readonly name: string;
  private readonly header: string;
  private readonly secret: string;

  /** @throws MailConfigError */
  constructor(options: PostmarkFeedbackOptions) {
    this.name = options.name ?? 'postmark';
    if ('header' in options) {
      requireSecret(options.header, 'header', 'Give the name of the header that the webhook sends.');
      requireSecret(options.secret, 'secret', 'Give what that header has in it.');
      this.header = options.header.toLowerCase();
      this.secret = options.secret;
    } else {
      requireSecret(options.username, 'username', "Give the user name in the webhook's URL.");
      requireSecret(options.password, 'password', "Give the password in the webhook's URL.");
      this.header = 'authorization';
      this.secret = `Basic ${Buffer.from(`${options.username}:${options.password}`).toString('base64')}`;
    }
  }

  // Async, so that what is refused is a rejection.
  async read(request: FeedbackRequest): Promise<Feedback[]> {
    if (!isSame(header(request, this.header), this.secret)) {
      throw new FeedbackRefusal('forged', `The header ${this.header} has not the secret in it`);
    }
    const record = fieldsOf(parseBody(request.body), 'The body');
    const told = toldBy(textOf(record, 'RecordType'), record);
    if (!told) return [];
    return [{ ...told, key: `${this.name}/${keyOf(record, told)}`, source: this.name, match: matchOf(record) }];
  }
}

type Told = Omit<Feedback, 'key' | 'source' | 'match'>;

/** Undefined: there is no news in it. */
function toldBy(recordType: string, record: Fields): Told | undefined {
  const recipient = (time: string): Pick<Told, 'address' | 'at'> => ({
    address: textOf(record, 'Recipient'),
    at: timeOf(record, time),
  });
  switch (recordType) {
    case 'Bounce':
      return bounceIn(record);
    case 'SpamComplaint':
      return { type: 'complained', address: textOf(record, 'Email'), at: timeOf(record, 'BouncedAt') };
    case 'Delivery':
      return { type: 'delivered', ...recipient('DeliveredAt'), ...saidBy(textIn(record, 'Details')) };
    case 'Open':
      return { type: 'opened', ...recipient('ReceivedAt') };
    case 'Click': {
      const url = textIn(record, 'OriginalLink');
      return { type: 'clicked', ...recipient('ReceivedAt'), ...(url === undefined ? {} : { url }) };
    }
    case 'SubscriptionChange': {
      // The others are told by records of their own, or were made by whoever owns the account.
      const isOwn = textIn(record, 'Origin') === 'Recipient' && record['SuppressionReason'] === 'ManualSuppression';
      if (record['SuppressSending'] !== true || !isOwn) return undefined;
      return { type: 'unsubscribed', ...recipient('ChangedAt') };
    }
    default:
      return undefined;
  }
}

function bounceIn(record: Fields): Told | undefined {
  const type = textOf(record, 'Type');
  const about = { address: textOf(record, 'Email'), at: timeOf(record, 'BouncedAt') };
  if (type === 'Unsubscribe') return { type: 'unsubscribed', ...about };
  if (type === 'SpamComplaint') return { type: 'complained', ...about };
  if (NO_BOUNCES.has(type)) return undefined;
  // One that is not known here is as grave as Postmark takes it.
  const permanent = HARD_BOUNCES.has(type) || (!SOFT_BOUNCES.has(type) && record['Inactive'] === true);
  return {
    type: 'bounced',
    ...about,
    permanent,
    ...saidBy(textIn(record, 'Details') ?? textIn(record, 'Description')),
  };
}

const SOFT_BOUNCES: ReadonlySet<string> = new Set([
  'Transient',
  'DnsError',
  'SpamNotification',
  'Unknown',
  'SoftBounce',
  'VirusNotification',
  'Unconfirmed',
  'Blocked',
  'DMARCPolicy',
]);

/** Bounces have an id; of the rest it takes all that tells them apart. */
function keyOf(record: Fields, { type, address, at, url = '' }: Told): string {
  const { ID: id } = record;
  if (typeof id === 'number') return `${type}/${id}`;
  const parts = JSON.stringify([textIn(record, 'MessageID') ?? '', address, at.getTime(), url]);
  return `${type}/${createHash('sha256').update(parts).digest('base64url').slice(0, 22)}`;
}

function matchOf(record: Fields): FeedbackMatch {
  const id = textIn(fieldsIn(record['Metadata']), ID_TAG);
  const providerId = textIn(record, 'MessageID');
  return { ...(id === undefined ? {} : { id }), ...(providerId === undefined ? {} : { providerId }) };
}
