import { join } from 'node:path';
import { countFiles } from '../count-files.js';
import { OFTEN, type MailServer, type MailServerPaths } from '../mail-server.js';

/** The SMTP service of Windows' IIS: each message is an `.eml` file. */
export function iis({ spool = 'C:\\inetpub\\mailroot', queueDir = join(spool, 'Queue') }: MailServerPaths): MailServer {
  return {
    name: 'iis',
    spool: queueDir,
    every: OFTEN,
    queue: () => countFiles(queueDir, (name) => /[.]eml$/i.test(name)),
  };
}
