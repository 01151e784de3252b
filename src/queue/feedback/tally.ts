import { FEEDBACK_TYPES, type FeedbackType } from '../../feedback/feedback.js';
import { LANES, type Lane } from '../../message/message.js';
import { noFeedback, type FeedbackCounts } from './reports.js';

/** What was reported in a span of time. Numbers are reports: who opens a mail twice counts twice. */
export interface FeedbackStats {
  /** Those that no mail of ours fits are counted here alone. */
  total: FeedbackCounts;
  lanes: Record<Lane, FeedbackCounts>;
  /**
   * Reports and requests of which nothing was believed or done, by whom they claim to be from and by reason: `forged`,
   * `stale`, `malformed`, `unknown-topic`, `oversized`, `unauthorized`, `replayed`,
   * `unmatched`.
   */
  refused: Record<string, Record<string, number>>;
}

/** What is asked for: with `lane`, the other one's reports are left out. */
export interface FeedbackRange {
  lane?: Lane;
}

/** Sources that are told apart; an application may name any number. */
const MAX_NAMES = 500;
const REFUSED = 'refused';
const UNKNOWN = 'unknown';

/** Numbers of one span of time, by their name. */
export class FeedbackTally {
  private readonly numbers = new Map<string, number>();

  /** What `text()` gave. */
  static read(text: string): FeedbackTally {
    const tally = new FeedbackTally();
    for (const [name, number] of JSON.parse(text) as [string, number][]) tally.add(name, number);
    return tally;
  }

  get empty(): boolean {
    return this.numbers.size === 0;
  }

  /** @param lane undefined: no mail of ours fits */
  count(type: FeedbackType, lane: Lane | undefined): void {
    this.add(`${lane ?? UNKNOWN} ${type}`, 1);
  }

  refuse(source: string, reason: string): void {
    const name = `${REFUSED} ${source} ${reason}`;
    this.add(this.numbers.size < MAX_NAMES || this.numbers.has(name) ? name : `${REFUSED} (others) ${reason}`, 1);
  }

  addAll(other: FeedbackTally): void {
    for (const [name, number] of other.numbers) this.add(name, number);
  }

  stats({ lane }: FeedbackRange): FeedbackStats {
    const counts = (of: string): FeedbackCounts => {
      const found = noFeedback();
      for (const type of FEEDBACK_TYPES) found[type] = this.numbers.get(`${of} ${type}`) ?? 0;
      return found;
    };
    const asked = (one: Lane): FeedbackCounts => (lane === undefined || lane === one ? counts(one) : noFeedback());
    const lanes = { priority: asked('priority'), bulk: asked('bulk') };
    const total = lane === undefined ? counts(UNKNOWN) : noFeedback();
    for (const one of LANES) for (const type of FEEDBACK_TYPES) total[type] += lanes[one][type];
    return { total, lanes, refused: this.refused() };
  }

  text(): string {
    return JSON.stringify([...this.numbers]);
  }

  private refused(): FeedbackStats['refused'] {
    const refused: FeedbackStats['refused'] = {};
    for (const [name, number] of this.numbers) {
      const [what, source = '', reason = ''] = name.split(' ');
      if (what === REFUSED) (refused[source] ??= {})[reason] = number;
    }
    return refused;
  }

  private add(name: string, number: number): void {
    this.numbers.set(name, (this.numbers.get(name) ?? 0) + number);
  }
}
