/** Iterates like `for await`, and also ends while the source keeps it waiting. @throws the signal's reason */
export async function* abortable<T>(
  source: Iterable<T> | AsyncIterable<T>,
  signal: AbortSignal | undefined,
): AsyncGenerator<T, void, undefined> {
  signal?.throwIfAborted();
  if (!signal || !(Symbol.asyncIterator in source)) {
    for await (const item of source) {
      signal?.throwIfAborted();
      yield item;
    }
    return;
  }
  const iterator = source[Symbol.asyncIterator]();
  // One listener for all items: a race for each would leave a reaction for each on the same promise.
  let interrupt: (reason: unknown) => void = () => undefined;
  const abort = (): void => interrupt(signal.reason);
  signal.addEventListener('abort', abort, { once: true });
  try {
    for (;;) {
      // It may have aborted while the last item was worked on.
      signal.throwIfAborted();
      const { done, value } = await new Promise<IteratorResult<T, unknown>>((resolve, reject) => {
        interrupt = reject;
        iterator.next().then(resolve, reject);
      });
      signal.throwIfAborted();
      if (done) return;
      yield value;
    }
  } finally {
    signal.removeEventListener('abort', abort);
    // One that hangs does not answer this either.
    void iterator.return?.().catch(() => undefined);
  }
}
