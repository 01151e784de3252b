import { fail, type OptionReader } from './reader.js';

const PATH = /^\/?([\w-]+(?:\/[\w-]+)*)\/?$/;

/** The option `path` of a module that takes requests, without slashes around it. @throws MailConfigError */
export function parseUrlPath(reader: OptionReader, otherwise: string, example: string): string {
  const given = reader.raw('path') ?? otherwise;
  const path = typeof given === 'string' ? PATH.exec(given)?.[1] : undefined;
  return path ?? fail('path', given, `Give letters, digits, '-' and '/', such as '${example}'.`);
}
