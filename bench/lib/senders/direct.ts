import { type Issue, type Letter, letters } from '../newsletter.js';
import type { Sender } from './sender.js';

/** A sender without a queue: a loop that keeps so many mails under way. */
export function direct(send: (letter: Letter) => Promise<unknown>, underWay: number): Sender {
  let issue: Issue | undefined;
  return {
    async queue(next) {
      issue = next;
    },
    async deliver() {
      if (!issue) return;
      const source = letters(issue);
      issue = undefined;
      await Promise.all(
        Array.from({ length: underWay }, async () => {
          // One iterator for all: breaking out of it would end it for the others.
          for (let next = source.next(); !next.done; next = source.next()) await send(next.value);
        }),
      );
    },
    settle: async () => undefined,
  };
}

/** A pool whose users wait for each answer idles without a second mail for each connection. */
export const AHEAD = 2;
