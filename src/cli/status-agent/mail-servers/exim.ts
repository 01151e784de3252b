import { existsSync } from 'node:fs';
import { isMissing, numberFrom } from '../command.js';
import { countFiles } from '../count-files.js';
import { OFTEN, type MailServer, type MailServerPaths } from '../mail-server.js';

const SPOOLS = ['/var/spool/exim4', '/var/spool/exim'];
/** Debian's name for it comes second. */
const PROGRAMS = ['exim', 'exim4'];

/** `exim -bpc`, which only its administrators may call. In a folder, each message has a file whose name ends in `-H`. */
export function exim({ spool = SPOOLS.find(existsSync), queueDir }: MailServerPaths): MailServer {
  const disk = queueDir ?? spool;
  return {
    name: 'exim',
    ...(disk === undefined ? {} : { spool: disk }),
    every: OFTEN,
    queue: () => (queueDir === undefined ? ask() : countFiles(queueDir, (name) => name.endsWith('-H'))),
  };
}

async function ask([program = 'exim', ...others] = PROGRAMS): Promise<number> {
  try {
    return await numberFrom(program, ['-bpc']);
  } catch (error) {
    if (!isMissing(error) || others.length === 0) throw error;
    return ask(others);
  }
}
