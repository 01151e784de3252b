import { MailError, MailQueueUnavailableError, reasonOf } from '../errors.js';

/** What the store answered; a driver's error becomes ours. @throws MailQueueUnavailableError */
export async function answered<T>(answer: Promise<T>): Promise<T> {
  try {
    return await answer;
  } catch (error) {
    if (error instanceof MailError) throw error;
    throw new MailQueueUnavailableError(`The mail queue's store did not answer: ${reasonOf(error)}`, { cause: error });
  }
}
