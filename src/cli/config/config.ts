import { MailConfigError } from '../../errors.js';
import type { MailModuleRootOptions } from '../../nest/mail.module.js';
import { fromEnvironment, VARIABLES } from './environment.js';
import { CONFIG_FILES, findConfigFile, loadConfigFile } from './file.js';

/** Where a mailer's options are looked for. */
export interface ConfigPlaces {
  /** `--config`. */
  file?: string;
  cwd: string;
  env: NodeJS.ProcessEnv;
}

/**
 * The options of the mailer that a command is about: of the file that was named, else of the one in the working directory,
 * else of the environment.
 *
 * @throws MailConfigError
 */
export async function loadConfig({ file, cwd, env }: ConfigPlaces): Promise<MailModuleRootOptions> {
  const path = await findConfigFile(cwd, file);
  const options = path === undefined ? fromEnvironment(env) : await loadConfigFile(path);
  if (options !== undefined) return options;
  throw new MailConfigError(
    `There is no mail configuration: no ${CONFIG_FILES.join(', ')} in ${cwd}, and no ${VARIABLES.url} or ` +
      `${VARIABLES.options} in the environment. Write one of them, or name a file with --config.`,
  );
}
