import { MailConfigError, reasonOf } from '../../errors.js';

/** @param what is read, for the error. @throws MailConfigError */
export function parseJson(text: string, what: string): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    // Node.js quotes the text around the fault, where a password may stand; nor is it kept as a cause.
    const fault = reasonOf(error).replace(/, (\.\.\.)?".*$/s, '');
    throw new MailConfigError(`${what} is not valid JSON: ${fault}.`, { cause: new SyntaxError(fault) });
  }
}
