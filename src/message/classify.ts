import { MailError, MailValidationError, reasonOf } from '../errors.js';
import { LANES, type Lane, type MailMessageInput } from './message.js';

/** A lane, and the message to go on with in place of the one that was looked at. */
export interface Classified {
  lane: Lane;
  message: MailMessageInput;
}

/**
 * Decides on the lane of messages that name none, before they are validated: `to` and the others are what the caller gave,
 * in any shape. It is called while the caller waits, so it returns at once, and no promise. The message is a frozen copy.
 *
 * @returns undefined where it has nothing to say; the next classifier is asked then
 * @throws MailValidationError to refuse the message; whatever else it throws fails the `send()` with the code `CLASSIFIER`
 */
export type Classifier = (message: Readonly<MailMessageInput>) => Lane | Classified | undefined;

/** Which lane a message takes, and why. */
export interface Decision {
  lane: Lane;
  /** What decided, for logs and events: `message`, `mail class`, `classify: <function>`, `classify[<index>]` or `defaultLane`. */
  by: string;
  /** The message to go on with. */
  message: MailMessageInput;
}

export interface LaneRules {
  defaultLane: Lane;
  /** Asked in this order; the first that has something to say decides. */
  classify?: readonly Classifier[];
}

/**
 * Decides on the lane of a message, before it is validated.
 *
 * @throws MailError (`CLASSIFIER`) a classifier threw, or returned something else than it may
 * @throws MailValidationError a classifier refuses the message
 */
export function decideLane(message: MailMessageInput, rules: LaneRules, ofMailClass?: Lane): Decision {
  const { lane } = message ?? {};
  if (lane !== undefined && lane !== null) return { lane, by: 'message', message };
  if (ofMailClass !== undefined) return { lane: ofMailClass, by: 'mail class', message };
  return classified(message, rules.classify ?? []) ?? { lane: rules.defaultLane, by: 'defaultLane', message };
}

function classified(message: MailMessageInput, classifiers: readonly Classifier[]): Decision | undefined {
  // What is no message at all is for validation to refuse.
  if (classifiers.length === 0 || typeof message !== 'object' || message === null) return undefined;
  const seen = Object.freeze({ ...message });
  for (const [index, classify] of classifiers.entries()) {
    const by = functionName('classify', classify, index);
    const answer = answerOf(classify, seen, by);
    if (answer === undefined) continue;
    if (isLane(answer)) return { lane: answer, by, message };
    if (isClassified(answer)) return { lane: answer.lane, by, message: answer.message };
    throw failure(by, `returned ${show(answer)}. It may return 'priority', 'bulk', { lane, message } or undefined`);
  }
  return undefined;
}

function answerOf(classify: Classifier, message: Readonly<MailMessageInput>, by: string): unknown {
  try {
    return classify(message);
  } catch (error) {
    if (error instanceof MailValidationError) throw error;
    throw failure(by, `failed: ${reasonOf(error)}`, error);
  }
}

function failure(by: string, what: string, cause?: unknown): MailError {
  const message = `No lane was decided on, and the message was not sent: ${by} ${what}`;
  return new MailError(message, { permanent: true, code: 'CLASSIFIER', ...(cause === undefined ? {} : { cause }) });
}

function isLane(value: unknown): value is Lane {
  return LANES.includes(value as Lane);
}

function isClassified(value: unknown): value is Classified {
  if (typeof value !== 'object' || value === null) return false;
  const { lane, message } = value as Partial<Classified>;
  return isLane(lane) && typeof message === 'object' && message !== null;
}

function show(value: unknown): string {
  if (value instanceof Promise) return 'a promise';
  if (typeof value === 'string') return JSON.stringify(value.slice(0, 50));
  if (value === null || typeof value === 'boolean') return String(value);
  return typeof value === 'object' ? 'an object without both' : `a ${typeof value}`;
}

/** What a function of an option is called: by its own name, or else by its place. */
export function functionName(option: string, { name }: { readonly name: string }, index: number): string {
  // A function that stands in the options without a name is named after the option.
  return name === '' || name === option ? `${option}[${index}]` : `${option}: ${name}`;
}
