import { join } from 'node:path';
import { linesFrom } from '../command.js';
import { countFiles } from '../count-files.js';
import { OFTEN, type MailServer, type MailServerPaths } from '../mail-server.js';

/** Mail on hold is left out: no one but an administrator sets it in motion. */
const QUEUES = ['maildrop', 'incoming', 'active', 'deferred'];

/** Each message is a file. Its folders are open to root and Postfix alone; others ask `postqueue`, which takes longer. */
export function postfix({ spool = '/var/spool/postfix', queueDir }: MailServerPaths): MailServer {
  const folders = queueDir === undefined ? QUEUES.map((name) => join(spool, name)) : [queueDir];
  return {
    name: 'postfix',
    spool,
    every: OFTEN,
    async queue() {
      try {
        const counts = await Promise.all(folders.map((folder) => countFiles(folder)));
        return counts.reduce((sum, count) => sum + count, 0);
      } catch (error) {
        if (queueDir !== undefined) throw error;
        // One JSON object a line, those on hold included.
        return linesFrom('postqueue', ['-j']);
      }
    },
  };
}
