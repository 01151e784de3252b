import { MailConfigError } from '../../errors.js';
import type { MailModuleRootOptions } from '../../nest/mail.module.js';
import { parseJson } from './json.js';

/** The environment variables that are read where there is no file. */
export const VARIABLES = {
  /** The SMTP server, as `transports[].url`. */
  url: 'PRIORITY_MAIL_URL',
  from: 'PRIORITY_MAIL_FROM',
  /** As `queue.connection`, or `false` for no bulk lane. */
  queue: 'PRIORITY_MAIL_QUEUE',
  /** Of one of several mailers. */
  name: 'PRIORITY_MAIL_NAME',
  /** All of the options as JSON. The others go before what stands there. */
  options: 'PRIORITY_MAIL_OPTIONS',
} as const;

/** Undefined: it says nothing of a mail server. @throws MailConfigError */
export function fromEnvironment(env: NodeJS.ProcessEnv): MailModuleRootOptions | undefined {
  const { url, from, queue, name, options } = VARIABLES;
  if (!env[url] && !env[options]) return undefined;
  const given = env[options] ? parseJson(env[options], options) : {};
  if (typeof given !== 'object' || given === null || Array.isArray(given)) {
    throw new MailConfigError(`${options} is no object. Give the options of MailModule.forRoot() as JSON.`);
  }
  const all = given as MailModuleRootOptions;
  return {
    ...all,
    ...(env[url] ? { transports: [{ name: 'main', url: env[url] }] } : {}),
    ...(env[from] ? { from: env[from] } : {}),
    ...(env[queue] ? { queue: env[queue] === 'false' ? false : { ...all.queue, connection: env[queue] } } : {}),
    ...(env[name] ? { name: env[name] } : {}),
  };
}
