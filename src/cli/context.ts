import type { ConfigPlaces } from './config/config.js';
import type { Interruption } from './interruption.js';
import type { Output } from './output.js';

/** What every command is given. */
export interface Context extends ConfigPlaces {
  readonly output: Output;
  readonly interruption: Interruption;
}
