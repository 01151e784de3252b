import { execFile } from 'node:child_process';
import { promisify } from 'node:util';

const run = promisify(execFile);

export interface SystemUser {
  uid: number;
  gid: number;
}

/** The first of these users that the machine has. */
export async function systemUser(...names: string[]): Promise<SystemUser> {
  const id = async (flag: '-u' | '-g', user: string) => Number((await run('id', [flag, user])).stdout);
  for (const name of names) {
    try {
      return { uid: await id('-u', name), gid: await id('-g', name) };
    } catch {
      continue;
    }
  }
  throw new Error(`This machine has no user ${names.join(' or ')}`);
}

/** Whom root becomes for a server that refuses to be root; as anybody else it runs as that user. */
export async function unprivilegedUser(...names: string[]): Promise<SystemUser | undefined> {
  return process.getuid?.() === 0 ? systemUser(...names) : undefined;
}
