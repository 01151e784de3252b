import { CommanderError } from 'commander';
import { MailConfigError, MailQueueUnavailableError, MailValidationError } from '../errors.js';
import { Interrupted, NotFoundError, TimeOver, UsageError } from './failure.js';

/** What the process ends with. One that a signal interrupts ends with 128 and the signal's number, as in a shell. */
export const EXIT = {
  ok: 0,
  /** What was asked for failed, or is not so. */
  failed: 1,
  usage: 2,
  config: 3,
  /** The queue's store cannot be used. */
  unavailable: 4,
  /** There is no message or campaign with that id. */
  notFound: 5,
  /** Not everybody is served yet: the same command again continues. */
  unfinished: 6,
} as const;

export type ExitCode = number;

/** The message that the command line makes is checked as any other is. */
const USAGE = [CommanderError, UsageError, MailValidationError];

export function exitCodeOf(error: unknown): ExitCode {
  if (USAGE.some((kind) => error instanceof kind)) return EXIT.usage;
  if (error instanceof MailConfigError) return EXIT.config;
  if (error instanceof MailQueueUnavailableError) return EXIT.unavailable;
  if (error instanceof NotFoundError) return EXIT.notFound;
  if (error instanceof TimeOver) return EXIT.unfinished;
  if (error instanceof Interrupted) return error.exitCode;
  return EXIT.failed;
}
