/** The application's own code must not hold a message, and its place in the lane, for ever. Milliseconds. */
const ANSWERS_WITHIN = 30_000;

/** @throws what it throws, or an Error when it has not answered in time */
export async function answered<T>(answer: Promise<T>): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    const failure = new LateAnswer(`it has not answered within ${ANSWERS_WITHIN} ms`);
    timer = setTimeout(() => reject(failure), ANSWERS_WITHIN);
  });
  try {
    return await Promise.race([answer, late]);
  } finally {
    clearTimeout(timer);
  }
}

/** It may answer another time. */
export class LateAnswer extends Error {
  override readonly name = 'LateAnswer';
}
