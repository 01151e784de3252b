import { countFiles } from '../count-files.js';
import { OFTEN, type MailServer, type MailServerPaths } from '../mail-server.js';

/** Each message has a control file whose name begins with `qf`, in the queue's folder or in those of its groups. */
export function sendmail({ spool = '/var/spool/mqueue', queueDir = spool }: MailServerPaths): MailServer {
  return {
    name: 'sendmail',
    spool: queueDir,
    every: OFTEN,
    queue: () => countFiles(queueDir, (name) => name.startsWith('qf')),
  };
}
