import { countFiles } from '../count-files.js';
import { OFTEN, type MailServer, type MailServerPaths } from '../mail-server.js';

/** Another mail server: its queue is what is in a folder, if one is given. */
export function none({ spool, queueDir }: MailServerPaths): MailServer {
  const disk = spool ?? queueDir;
  return {
    name: 'none',
    ...(disk === undefined ? {} : { spool: disk }),
    every: OFTEN,
    ...(queueDir === undefined ? {} : { queue: () => countFiles(queueDir) }),
  };
}
