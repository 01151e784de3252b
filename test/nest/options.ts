import 'reflect-metadata';
import { expect } from 'vitest';
import { MailConfigError } from '../../src/errors.js';
import { parseOptions, type HostQueueConfig, type MailSettings } from '../../src/nest/options/parse.js';
import type { SmtpSettings } from '../../src/nest/options/smtp.js';
import type { MailModuleOptions } from '../../src/nest/options/types.js';
import type { SmtpTransportOptions } from '../../src/transport/smtp/options.js';

/** The least a transport can be. */
export const main = { name: 'main', url: 'smtp://smtp.shop.test' };

export const withMain = (options: object) => ({ transports: [main], ...options });
export const withTransport = (transport: object) => ({ transports: [{ ...main, ...transport }] });

export function parse(options: object, host?: HostQueueConfig): MailSettings {
  return parseOptions(withMain(options), 'mail', host);
}

/** What is read of a transport. */
export function settings(transport: object): SmtpSettings {
  return parse({ ...withTransport(transport), queue: false }).transports[0] as SmtpSettings;
}

/** What an SMTP transport is made with. */
export function smtp(transport: object): SmtpTransportOptions {
  return settings(transport).smtp;
}

export function refusal(options: unknown, host?: HostQueueConfig): string {
  try {
    parseOptions(options as MailModuleOptions, 'mail', host);
  } catch (error) {
    expect(error).toBeInstanceOf(MailConfigError);
    expect(error).toMatchObject({ permanent: true, code: 'CONFIG' });
    return (error as Error).message;
  }
  return 'It is taken';
}
