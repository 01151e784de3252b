import { Inject, type InjectionToken } from '@nestjs/common';
import { MailService } from './mail.service.js';

/** The injection token of a mailer: `MailService` itself, or a named one's own. */
export function getMailToken(name?: string): InjectionToken {
  return name === undefined ? MailService : `MailService(${name})`;
}

/** Injects the `MailService` of the mailer with this name; without a name, the one that injects by type as well. */
export const InjectMail = (name?: string): ParameterDecorator & PropertyDecorator => Inject(getMailToken(name));
