import { idOfTag, ID_TAG } from '../message/tags.js';
import type { Feedback, FeedbackMatch, FeedbackType } from './feedback.js';
import { FeedbackRefusal } from './source.js';

/** What SES writes of a mail in each of its events, as far as it is read here. */
interface SesMail {
  messageId?: string;
  timestamp?: string;
  destination?: string[];
  headers?: { name?: string; value?: string }[];
  tags?: Record<string, string[] | undefined>;
}

interface SesRecipient {
  emailAddress?: string;
  status?: string;
  diagnosticCode?: string;
}

interface SesEvent {
  /** Of event publishing; the older notifications of an identity say `notificationType`. */
  eventType?: string;
  notificationType?: string;
  mail?: SesMail;
  bounce?: Part & { bounceType?: string; bounceSubType?: string; bouncedRecipients?: SesRecipient[] };
  complaint?: Part & { complaintFeedbackType?: string; complainedRecipients?: SesRecipient[] };
  delivery?: Part & { recipients?: string[]; smtpResponse?: string };
  reject?: Part & { reason?: string };
  open?: Part;
  click?: Part & { link?: string };
  subscription?: Part & { newTopicPreferences?: Preferences; oldTopicPreferences?: Preferences };
}

interface Part {
  timestamp?: string;
  feedbackId?: string;
}

interface Preferences {
  unsubscribeAll?: boolean;
  topicSubscriptionStatus?: { topicName?: string; subscriptionStatus?: string }[];
}

type About = Partial<Pick<Feedback, 'permanent' | 'enhancedCode' | 'reply' | 'url'>>;

/**
 * What one event of SES reports, per recipient. Nothing of events that change nothing, such as `Send` and `DeliveryDelay`.
 *
 * @throws FeedbackRefusal it is no event of SES
 */
export function readSesEvent(json: unknown): Feedback[] {
  if (typeof json !== 'object' || json === null) throw malformed('is no object');
  const event = json as SesEvent;
  try {
    return read(event, new Report(event.mail ?? {}));
  } catch (error) {
    // A field of another type than SES gives it.
    if (error instanceof TypeError) throw malformed('has fields of another kind', error);
    throw error;
  }
}

function read(event: SesEvent, report: Report): Feedback[] {
  const { bounce, complaint, delivery, reject, open, click, subscription, mail } = event;
  const reader = mail?.destination?.length === 1 ? mail.destination : [];
  switch (event.eventType ?? event.notificationType) {
    case 'Bounce': {
      const kind = [bounce?.bounceType, bounce?.bounceSubType].filter(Boolean).join(', ');
      // Transient and Undetermined: a later mail may arrive.
      const permanent = bounce?.bounceType === 'Permanent';
      return (bounce?.bouncedRecipients ?? []).flatMap(({ emailAddress, status, diagnosticCode }) =>
        report.of('bounced', emailAddress, bounce, {
          permanent,
          reply: diagnosticCode?.replace(/^[\w-]+; ?/, '') ?? kind,
          ...(status !== undefined && /^[245]\.\d{1,3}\.\d{1,3}$/.test(status) ? { enhancedCode: status } : {}),
        }),
      );
    }
    case 'Complaint':
      // Somebody took it out of the spam folder.
      if (complaint?.complaintFeedbackType === 'not-spam') return [];
      return (complaint?.complainedRecipients ?? []).flatMap(({ emailAddress }) =>
        report.of('complained', emailAddress, complaint, reply(complaint?.complaintFeedbackType)),
      );
    case 'Delivery':
      return (delivery?.recipients ?? []).flatMap((address) =>
        report.of('delivered', address, delivery, reply(delivery?.smtpResponse)),
      );
    case 'Reject':
      // SES took it, and then found a virus. The address is as good as it was.
      return (mail?.destination ?? []).flatMap((address) =>
        report.of('bounced', address, reject, { permanent: false, reply: `Rejected by SES: ${reject?.reason ?? ''}` }),
      );
    // Of several recipients SES does not tell which it was.
    case 'Open':
      return reader.flatMap((address) => report.of('opened', address, open));
    case 'Click':
      return reader.flatMap((address) => report.of('clicked', address, click, click?.link ? { url: click.link } : {}));
    case 'Subscription':
      return leaves(subscription) ? reader.flatMap((address) => report.of('unsubscribed', address, subscription)) : [];
    case undefined:
      throw malformed('has no type');
    default:
      return [];
  }
}

/** The reader left everything, or a topic. */
function leaves(subscription: SesEvent['subscription']): boolean {
  const { newTopicPreferences: now, oldTopicPreferences: before } = subscription ?? {};
  const out = (preferences?: Preferences): string[] =>
    (preferences?.topicSubscriptionStatus ?? [])
      .filter(({ subscriptionStatus }) => subscriptionStatus === 'OptOut')
      .map(({ topicName = '' }) => topicName);
  if (now?.unsubscribeAll === true) return before?.unsubscribeAll !== true;
  const left = out(before);
  return out(now).some((topic) => !left.includes(topic));
}

/** What all reports of one event have in common. */
class Report {
  private readonly match: FeedbackMatch;

  constructor(private readonly mail: SesMail) {
    const { messageId, headers = [], tags } = mail;
    const own = tags?.[ID_TAG]?.[0];
    const header = headers.find(({ name }) => name?.toLowerCase() === 'message-id')?.value?.trim();
    this.match = {
      ...(own === undefined ? {} : { id: idOfTag(own) }),
      ...(messageId === undefined ? {} : { providerId: messageId }),
      ...(header === undefined || !/^<[^<>\s]+>$/.test(header) ? {} : { messageId: header }),
    };
  }

  /** @param part what is told of this kind of event */
  of(type: FeedbackType, recipient: string | undefined, part: Part | undefined, about: About = {}): Feedback[] {
    const { messageId = '', timestamp: sentAt } = this.mail;
    const timestamp = part?.timestamp ?? sentAt ?? '';
    const at = new Date(timestamp);
    if (recipient === undefined || Number.isNaN(at.getTime())) throw malformed(`tells no recipient or time of ${type}`);
    const address = /<([^<>]+)>\s*$/.exec(recipient)?.[1] ?? recipient;
    const key = ['ses', messageId, type, address, part?.feedbackId ?? timestamp, about.url].filter(Boolean).join(' ');
    return [{ key, type, source: 'ses', address, at, match: this.match, ...about }];
  }
}

function reply(words: string | undefined): About {
  return words === undefined || words === '' ? {} : { reply: words };
}

function malformed(what: string, cause?: unknown): FeedbackRefusal {
  return new FeedbackRefusal('malformed', `The event of SES ${what}`, cause === undefined ? {} : { cause });
}
