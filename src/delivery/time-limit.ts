import { within } from '../within.js';

/** The application's own code must not hold a message, and its place in the lane, for ever. Milliseconds. */
const ANSWERS_WITHIN = 30_000;

/** @throws what it throws, or an Error when it has not answered in time */
export function answered<T>(answer: Promise<T>): Promise<T> {
  return within(ANSWERS_WITHIN, answer, () => new LateAnswer(`it has not answered within ${ANSWERS_WITHIN} ms`));
}

/** It may answer another time. */
export class LateAnswer extends Error {
  override readonly name = 'LateAnswer';
}
