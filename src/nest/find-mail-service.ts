import type { ModuleRef } from '@nestjs/core';
import { MailConfigError } from '../errors.js';
import { getMailToken } from './inject-mail.js';
import type { MailService } from './mail.service.js';

/**
 * The mailer that a module of this package works for, wherever the application has imported it.
 *
 * @param wanted the name of the module, for the error
 * @throws MailConfigError there is no such mailer
 */
export function findMailService(moduleRef: ModuleRef, mailer: string | undefined, wanted: string): MailService {
  try {
    return moduleRef.get<MailService>(getMailToken(mailer), { strict: false });
  } catch (cause) {
    const which = mailer === undefined ? 'MailModule' : `MailModule with the name ${mailer}`;
    throw new MailConfigError(`${wanted} finds no ${which}. Import it into the application.`, { cause });
  }
}
