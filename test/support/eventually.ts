// Taken now, so that a test's fake clock does not stop the waiting.
const later = globalThis.setTimeout;
const now = performance.now.bind(performance);

export interface EventuallyOptions {
  /** Milliseconds until it gives up; default 10,000. */
  within?: number;
}

/**
 * Repeats a check every 20 ms until it holds, and resolves to what it returned then. A check holds when it neither
 * throws nor returns `false`, `null`, `0` or `''`. `undefined` holds, because that is what an `expect(…)` returns.
 *
 * @throws the check's last error, or one that shows what it last returned
 */
export async function eventually<T>(
  check: () => T | Promise<T>,
  { within = 10_000 }: EventuallyOptions = {},
): Promise<Exclude<T, false | null | 0 | ''>> {
  const deadline = now() + within;
  // Made here so that its stack leads to the test.
  const timeout = new Error(`Not within ${within} ms`);
  for (;;) {
    let failure: unknown;
    try {
      const result = await check();
      if (result || result === undefined) return result as Exclude<T, false | null | 0 | ''>;
      timeout.message = `Not within ${within} ms; the check last returned ${JSON.stringify(result)}`;
      failure = timeout;
    } catch (error) {
      failure = error;
    }
    if (now() >= deadline) throw failure;
    await new Promise((resolve) => later(resolve, 20));
  }
}
