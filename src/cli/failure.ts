import { constants } from 'node:os';

/** The command line asks for what does not go together. */
export class UsageError extends Error {
  readonly code = 'USAGE';
}

/** There is no message or campaign with that id. */
export class NotFoundError extends Error {
  readonly code = 'NOT_FOUND';
}

/** `--max-time` is over before there is anything to tell. */
export class TimeOver extends Error {
  readonly code = 'TIME_OVER';

  constructor() {
    super('The time was over before anything could be queued. The same command again begins anew.');
  }
}

/** A signal came before the command was done. */
export class Interrupted extends Error {
  readonly code = 'INTERRUPTED';
  readonly exitCode: number;

  constructor(signal: NodeJS.Signals) {
    super(`Interrupted by ${signal}.`);
    this.exitCode = 128 + constants.signals[signal];
  }
}
