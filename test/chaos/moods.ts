import { chanceOf } from './random.js';

/** When the mail server answers otherwise than well: to RCPT, to DATA, or when it has the whole message. */
export type Step = 'rcpt' | 'data' | 'final';

/** A reply, no answer ever, or a dropped connection. `hang` and `cut` at `final` keep the message all the same. */
export type Answer = `${number} ${string}` | 'hang' | 'cut';

export interface Mood {
  step: Step;
  answer: Answer;
}

/** The share of recipients that do not exist. */
const GONE = 0.01;
const NO_SUCH_USER = '550 5.1.1 No such user here';

/** The share of attempts that end so. */
const MOODS: readonly (Mood & { share: number })[] = [
  { share: 0.006, step: 'rcpt', answer: '450 4.2.2 Mailbox full, try again later' },
  { share: 0.003, step: 'final', answer: '451 4.3.0 Local error in processing' },
  { share: 0.0005, step: 'rcpt', answer: '421 4.7.0 Too many messages, closing connection' },
  { share: 0.0005, step: 'final', answer: '421 4.3.2 Service shutting down' },
  { share: 0.0002, step: 'rcpt', answer: 'hang' },
  { share: 0.0002, step: 'final', answer: 'hang' },
  { share: 0.0005, step: 'data', answer: 'cut' },
  { share: 0.0005, step: 'final', answer: 'cut' },
];

/** Whether the mail server refuses this recipient for good, at whatever attempt. */
export function isGone(seed: number, recipient: string): boolean {
  return chanceOf(seed, recipient) < GONE;
}

/**
 * What the mail server does with an attempt to serve a recipient; undefined when it takes the message.
 *
 * @param attempt from 0
 */
export function moodFor(seed: number, recipient: string, attempt: number): Mood | undefined {
  if (isGone(seed, recipient)) {
    return { step: chanceOf(seed, `${recipient} where`) < 0.5 ? 'rcpt' : 'final', answer: NO_SUCH_USER };
  }
  let chance = chanceOf(seed, `${recipient} ${attempt}`);
  return MOODS.find(({ share }) => (chance -= share) < 0);
}
