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
 */
export interface Classifier {
  /**
   * @returns undefined where it has nothing to say; the next classifier is asked then
   * @throws MailValidationError to refuse the message; whatever else it throws fails the `send()` with the code `CLASSIFIER`
   */
  (message: Readonly<MailMessageInput>): Lane | Classified | undefined;
  /**
   * Takes out of a message what this classifier looks for and no reader is to see. It is called for every message of `send()`,
   * whatever has decided on its lane.
   *
   * @returns undefined where there is nothing to take out
   * @throws like the classifier itself
   */
  strip?(message: Readonly<MailMessageInput>): MailMessageInput | undefined;
}

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
  // What is no message at all is for validation to refuse.
  const classifiers = typeof message === 'object' && message !== null ? (rules.classify ?? []) : [];
  const decision = named(message, ofMailClass) ??
    classified(message, classifiers) ?? { lane: rules.defaultLane, by: 'defaultLane', message };
  return { ...decision, message: stripped(decision.message, classifiers) };
}

function named(message: MailMessageInput, ofMailClass: Lane | undefined): Decision | undefined {
  const { lane } = message ?? {};
  if (lane !== undefined && lane !== null) return { lane, by: 'message', message };
  return ofMailClass && { lane: ofMailClass, by: 'mail class', message };
}

/**
 * The message without what its classifiers only look for.
 *
 * @throws MailError (`CLASSIFIER`) | MailValidationError as `decideLane()` does
 */
export function stripped(message: MailMessageInput, classifiers: readonly Classifier[]): MailMessageInput {
  let rest = message;
  for (const [index, classify] of classifiers.entries()) {
    if (!classify.strip) continue;
    const by = functionName('classify', classify, index);
    const answer = answerOf(() => classify.strip?.(Object.freeze({ ...rest })), by);
    if (answer === undefined) continue;
    if (typeof answer !== 'object' || answer === null || answer instanceof Promise)
      throw failure(by, `stripped it to ${show(answer)}. It may return a message or undefined`);
    rest = answer;
  }
  return rest;
}

function classified(message: MailMessageInput, classifiers: readonly Classifier[]): Decision | undefined {
  if (classifiers.length === 0) return undefined;
  const seen = Object.freeze({ ...message });
  for (const [index, classify] of classifiers.entries()) {
    const by = functionName('classify', classify, index);
    const answer = answerOf(() => classify(seen), by);
    if (answer === undefined) continue;
    if (isLane(answer)) return { lane: answer, by, message };
    if (isClassified(answer)) return { lane: answer.lane, by, message: answer.message };
    throw failure(by, `returned ${show(answer)}. It may return 'priority', 'bulk', { lane, message } or undefined`);
  }
  return undefined;
}

function answerOf(ask: () => unknown, by: string): unknown {
  try {
    return ask();
  } catch (error) {
    if (error instanceof MailValidationError) throw error;
    throw failure(by, `failed: ${reasonOf(error)}`, error);
  }
}

function failure(by: string, what: string, cause?: unknown): MailError {
  const message = `The message could not be classified, and was not sent: ${by} ${what}`;
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
