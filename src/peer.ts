import { MailConfigError } from './errors.js';

/**
 * Loads an optional peer when it is used.
 *
 * @throws MailConfigError with the install command when it is missing; any other failure to load comes through as it is
 */
export async function loadPeer<T>(name: string, load: () => Promise<T>, why: string): Promise<T> {
  try {
    return await load();
  } catch (error) {
    const missing = (error as { code?: string }).code === 'ERR_MODULE_NOT_FOUND' && String(error).includes(`'${name}'`);
    if (!missing) throw error;
    throw new MailConfigError(`${why} needs the package ${name}. Install it: npm install ${name}`, { cause: error });
  }
}
