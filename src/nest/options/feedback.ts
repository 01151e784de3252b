import type { Duration } from '../../message/duration.js';
import type { FeedbackSettings } from '../../queue/feedback/intake.js';
import { DEFAULTS } from './defaults.js';
import { fail, OptionReader } from './reader.js';

/** What is done about reports of mails that were sent. */
export interface FeedbackConfig {
  /**
   * Remembers which mail a provider's own id means, where the transport tells it, as SES and HTTP providers do. Default true
   * where `feedback` is given.
   */
  providerIds?: boolean;
  /** How long the same report is known again, an hour at least. Default `'7d'`. One that came as a mail is for 90 days at least. */
  remember?: Duration;
  /** What an address gets no more of because of a report. False: nothing is done about it. */
  suppress?: {
    /** Of a permanent bounce. Default `'all'`. */
    bounces?: 'all' | 'bulk' | false;
    /** Of a complaint. Default `'bulk'`. */
    complaints?: 'all' | 'bulk' | false;
    /** Of the list that is left, or all bulk mail where it is none of a list. Default true. */
    unsubscribes?: boolean;
    /**
     * Of a bulk mail's recipient whom the mail server refuses at once and for good, since there is no such mailbox, such as with
     * 550 5.1.1. Default false.
     */
    rejections?: 'all' | 'bulk' | false;
  };
}

/** The option `feedback`. @throws MailConfigError */
export function parseFeedbackOptions(parent: OptionReader, hasQueue: boolean): FeedbackSettings {
  const { feedback: defaults } = DEFAULTS;
  const value = parent.raw('feedback');
  const on = value !== undefined && value !== false;
  if (on && !hasQueue) {
    fail('feedback', value, 'Reports are kept in the store of the queue, which there is none of with queue: false.');
  }
  const reader = typeof value === 'boolean' ? new OptionReader({}, 'feedback') : parent.section('feedback');
  const suppress = reader.section('suppress');
  const settings: FeedbackSettings = {
    providerIds: value === undefined ? undefined : reader.boolean('providerIds', on),
    // A webhook's post counts as fresh that long.
    remember: reader.duration('remember', defaults.remember, 3_600_000, Infinity),
    suppress: {
      bounces: scope(suppress, 'bounces', defaults.suppress.bounces),
      complaints: scope(suppress, 'complaints', defaults.suppress.complaints),
      unsubscribes: suppress.boolean('unsubscribes', defaults.suppress.unsubscribes),
      rejections: scope(suppress, 'rejections', defaults.suppress.rejections),
    },
  };
  suppress.end();
  reader.end();
  return settings;
}

function scope(reader: OptionReader, name: string, otherwise: 'all' | 'bulk' | false): 'all' | 'bulk' | false {
  const value = reader.raw(name) ?? otherwise;
  if (value === 'all' || value === 'bulk' || value === false) return value;
  return fail(reader.pathOf(name), value, "Give 'all', 'bulk' or false.");
}
