import { accessSync, constants, existsSync, readdirSync } from 'node:fs';
import { delimiter, dirname, join } from 'node:path';

/**
 * @typedef {object} ServerProgram one kind of server that tests talk to
 * @property {string} name as people call it
 * @property {string} program the executable that is looked for
 * @property {string[]} folders where it lives when not on the PATH; `*` stands for any one folder name
 * @property {string} [url] the environment variable that names a running server to use instead
 * @property {string} apt the Debian and Ubuntu package
 * @property {string} brew the Homebrew formula
 */

const homebrew = ['/opt/homebrew', '/usr/local', '/home/linuxbrew/.linuxbrew'];
const toolFolders = ['/usr/bin', '/opt/homebrew/bin', '/usr/local/bin'];
const systemFolders = ['/usr/bin', '/usr/sbin', '/usr/local/bin', '/usr/local/sbin'];

/** @type {Record<'redis' | 'postgres' | 'smtpSink', ServerProgram>} */
export const servers = {
  redis: {
    name: 'Redis',
    program: 'redis-server',
    folders: [...systemFolders, ...homebrew.map((prefix) => `${prefix}/bin`)],
    url: 'REDIS_URL',
    apt: 'redis-server',
    brew: 'redis',
  },
  postgres: {
    name: 'PostgreSQL',
    program: 'initdb',
    folders: [
      '/usr/lib/postgresql/*/bin',
      '/usr/pgsql-*/bin',
      ...homebrew.map((prefix) => `${prefix}/opt/postgresql*/bin`),
      ...systemFolders,
    ],
    url: 'DATABASE_URL',
    apt: 'postgresql',
    brew: 'postgresql@17',
  },
  smtpSink: {
    name: "Postfix's smtp-sink",
    program: 'smtp-sink',
    folders: [...systemFolders, '/usr/libexec/postfix', ...homebrew.map((prefix) => `${prefix}/sbin`)],
    apt: 'postfix',
    brew: 'postfix',
  },
};

/**
 * Finds a server's executable: on the PATH first, then where packages put it, newest version first.
 *
 * @param {ServerProgram} server
 * @returns {string | undefined} its absolute path
 */
export function findProgram({ program, folders }) {
  const onPath = (process.env.PATH ?? '').split(delimiter).filter(Boolean);
  return [...onPath, ...folders.flatMap(expand)].map((folder) => join(folder, program)).find(isExecutable);
}

/**
 * Finds a tool of the system, such as its package manager.
 *
 * @param {string} program
 */
export function findTool(program) {
  return findProgram({ name: program, program, folders: toolFolders, apt: '', brew: '' });
}

/**
 * Whether tests can use a server of this kind, be it a running one or one they start.
 *
 * @param {ServerProgram} server
 */
export function isAvailable(server) {
  return Boolean(server.url && process.env[server.url]) || findProgram(server) !== undefined;
}

/** @param {string} pattern */
function expand(pattern) {
  const star = pattern.indexOf('*');
  if (star < 0) return [pattern];
  const before = pattern.slice(0, star);
  const parent = before.endsWith('/') ? before : `${dirname(before)}/`;
  const prefix = before.slice(parent.length);
  const rest = pattern.slice(star + 1);
  if (!existsSync(parent)) return [];
  return readdirSync(parent)
    .filter((name) => name.startsWith(prefix))
    .sort((a, b) => b.localeCompare(a, 'en', { numeric: true }))
    .map((name) => parent + name + rest);
}

/** @param {string} path */
function isExecutable(path) {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}
