import { createHash, timingSafeEqual } from 'node:crypto';
import { MailConfigError, reasonOf } from '../../errors.js';
import { FeedbackRefusal, type FeedbackRequest } from '../source.js';

/** A request that was signed longer ago, or is from so far ahead, is not believed. Milliseconds. */
const TOLERANCE = 5 * 60_000;

/** Any JSON object. */
export type Fields = Readonly<Record<string, unknown>>;

/** @throws FeedbackRefusal */
export function header({ headers }: FeedbackRequest, ...names: string[]): string {
  const value = names.map((name) => headers[name]).find((one) => one !== undefined && one !== '');
  if (value === undefined) throw new FeedbackRefusal('forged', `The request has no header ${names[0]}`);
  return value;
}

/** @param seconds since the epoch, as they were signed. @throws FeedbackRefusal */
export function checkAge(seconds: string, now: Date): void {
  if (!/^\d{1,12}$/.test(seconds))
    throw new FeedbackRefusal('malformed', 'The time of the signature is no number of seconds');
  if (Math.abs(now.getTime() - Number(seconds) * 1_000) > TOLERANCE) {
    throw new FeedbackRefusal('stale', 'The request was signed more than 5 minutes from now');
  }
}

/** Takes as long whatever is in them. */
export function isSame(some: string | Buffer, other: string | Buffer): boolean {
  const digest = (text: string | Buffer): Buffer => createHash('sha256').update(text).digest();
  return timingSafeEqual(digest(some), digest(other));
}

/** @throws FeedbackRefusal */
export function parseBody(body: Buffer): unknown {
  try {
    return JSON.parse(body.toString('utf8'));
  } catch (error) {
    throw new FeedbackRefusal('malformed', `The body is no JSON: ${reasonOf(error)}`, { cause: error });
  }
}

/** @param what it is, for the error. @throws FeedbackRefusal */
export function fieldsOf(value: unknown, what: string): Fields {
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value as Fields;
  throw new FeedbackRefusal('malformed', `${what} is no object`);
}

/** Those of an object that may not be there. */
export function fieldsIn(value: unknown): Fields {
  return typeof value === 'object' && value !== null ? (value as Fields) : {};
}

/** @throws FeedbackRefusal */
export function textOf(fields: Fields, name: string): string {
  const value = textIn(fields, name);
  if (value === undefined) throw new FeedbackRefusal('malformed', `${name} is no text`);
  return value;
}

/** Undefined where there is none. */
export function textIn(fields: Fields, name: string): string | undefined {
  const value = fields[name];
  return typeof value === 'string' && value !== '' ? value : undefined;
}

/** @throws FeedbackRefusal */
export function timeOf(fields: Fields, name: string): Date {
  const at = new Date(textOf(fields, name));
  if (Number.isNaN(at.getTime())) throw new FeedbackRefusal('malformed', `${name} is no time`);
  return at;
}

/** The enhanced status code (RFC 3463) in a server's words, and the words. */
export function saidBy(words: string | undefined): { enhancedCode?: string; reply?: string } {
  if (words === undefined) return {};
  const enhancedCode = /(?:^|[\s(#-])([245]\.\d{1,3}\.\d{1,3})\b/.exec(words)?.[1];
  return { reply: words, ...(enhancedCode === undefined ? {} : { enhancedCode }) };
}

/** A secret that was left out would let everybody in. @throws MailConfigError */
export function requireSecret(value: unknown, option: string, remedy: string): asserts value is string {
  if (typeof value === 'string' && value.trim() !== '') return;
  throw new MailConfigError(`The feedback option ${option} is ${value === undefined ? 'missing' : 'empty'}. ${remedy}`);
}

/** Those of one option, of which there may be several while it is changed. @throws MailConfigError there is none */
export function requireSecrets(
  given: string | readonly string[] | undefined,
  option: string,
  remedy: string,
): readonly string[] {
  const secrets = typeof given === 'string' ? [given] : (given ?? []);
  if (secrets.length === 0) requireSecret(undefined, option, remedy);
  for (const secret of secrets) requireSecret(secret, option, remedy);
  return secrets;
}
