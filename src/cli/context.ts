import type { Readable } from 'node:stream';
import type { ReadStream } from 'node:tty';
import type { ConfigPlaces } from './config/config.js';
import type { Interruption } from './interruption.js';
import type { Output } from './output.js';

/** Standard input of a process. */
export type Input = Readable & Partial<Pick<ReadStream, 'isTTY'>>;

/** What every command is given. */
export interface Context extends ConfigPlaces {
  /** Standard input, if there is one. */
  readonly input: () => Input | undefined;
  readonly output: Output;
  readonly interruption: Interruption;
}
