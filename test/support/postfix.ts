import { execFile } from 'node:child_process';
import { chown, mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { debianRoot, hasDebianPackages, libraryFolders } from '../../scripts/lib/debian-packages.mjs';
import { findProgram, servers } from '../../scripts/lib/servers.mjs';
import {
  DOMAIN,
  LOGIN,
  MailServer,
  type MailServerFolder,
  type MailServerOptions,
  NO_MAILBOX,
  greets,
  mailServerFolder,
} from './mail-server.js';
import { ServerProcess } from './server-process.js';
import { type SystemUser, systemUser } from './system-user.js';

const run = promisify(execFile);

const master = { ...servers.smtpSink, program: 'master', folders: ['/usr/lib/postfix/sbin', '/usr/libexec/postfix'] };

/** Why this machine cannot run Postfix; undefined when it can. */
export function whyNoPostfix(): string | undefined {
  if (process.getuid?.() !== 0) return 'needs root';
  if (!findProgram(master)) return 'is not on this machine';
  return hasDebianPackages() ? undefined : 'needs Cyrus SASL, which `npm test` fetches with apt-get';
}

/** Starts a Postfix with its own configuration, queue and passwords; stopped when the test file ends. */
export async function startPostfix(options: MailServerOptions = {}): Promise<MailServer> {
  const command = findProgram(master);
  if (!command) throw new Error('This needs Postfix on this machine');

  const folder = await mailServerFolder('postfix');
  const [postfix, nobody] = await Promise.all([systemUser('postfix'), systemUser('nobody')]);
  await chown(folder.maildir, nobody.uid, nobody.gid);
  const config = join(folder.path, 'conf');
  await mkdir(join(config, 'sasl'), { recursive: true });
  await Promise.all([
    writeFile(join(config, 'main.cf'), mainConfig(folder, nobody, options)),
    writeFile(join(config, 'master.cf'), services(folder.port)),
    writeFile(join(config, 'mailboxes'), `!/^${NO_MAILBOX}@/ mail/\n`),
    makeQueue(folder.path, postfix),
    makePasswords(folder.path, join(config, 'sasl', 'smtpd.conf')),
  ]);

  // Postfix's programs run as several users, whatever this process's umask is.
  await run('chmod', ['-R', 'a+rX', folder.path]);

  const server = new ServerProcess({
    command,
    args: ['-c', config, '-s'],
    ready: () => greets(folder.port),
    group: true,
  });
  const mailServer = new MailServer(folder, server);
  await mailServer.start();
  return mailServer;
}

function mainConfig({ path, log, certificate, key }: MailServerFolder, user: SystemUser, options: MailServerOptions) {
  return Object.entries({
    compatibility_level: 2,
    queue_directory: `${path}/queue`,
    data_directory: `${path}/data`,
    maillog_file: log,
    maillog_file_prefixes: path,
    myhostname: 'postfix.test',
    inet_interfaces: '127.0.0.1',
    inet_protocols: 'ipv4',
    mydestination: '',
    alias_maps: '',
    default_transport: 'error:Nothing leaves this machine',
    smtpd_peername_lookup: 'no',
    message_size_limit: options.maxBytes ?? 1_000_000,

    smtpd_tls_security_level: 'may',
    smtpd_tls_auth_only: 'yes',
    smtpd_tls_cert_file: certificate,
    smtpd_tls_key_file: key,
    smtpd_sasl_auth_enable: 'yes',
    smtpd_relay_restrictions: 'permit_sasl_authenticated, reject',
    import_environment: `MAIL_CONFIG SASL_PATH=${saslPlugins()}`,

    virtual_mailbox_domains: DOMAIN,
    virtual_mailbox_maps: `regexp:${path}/conf/mailboxes`,
    // The map answers `mail/`, which is a Maildir below this folder.
    virtual_mailbox_base: path,
    virtual_uid_maps: `static:${user.uid}`,
    virtual_gid_maps: `static:${user.gid}`,
  })
    .map(([name, value]) => `${name} = ${value}\n`)
    .join('');
}

/** Postfix is many programs, started by its master; the client that would send mail elsewhere is left out. */
function services(port: number): string {
  return `
    127.0.0.1:${port} inet n - n - - smtpd
    anvil   unix - - n - 1 anvil
    bounce  unix - - n - 0 bounce
    cleanup unix n - n - 0 cleanup
    defer   unix - - n - 0 bounce
    error   unix - - n - - error
    postlog unix-dgram n - n - 1 postlogd
    proxymap unix - - n - - proxymap
    qmgr    unix n - n 300 1 qmgr
    retry   unix - - n - - error
    rewrite unix - - n - - trivial-rewrite
    tlsmgr  unix - - n 1000? 1 tlsmgr
    trace   unix - - n - 0 bounce
    virtual unix - n n - - virtual
  `.replaceAll(/^ +/gm, '');
}

/** The folders that `postfix check` would make, which takes it two seconds. */
async function makeQueue(path: string, owner: SystemUser): Promise<void> {
  const names = 'active bounce corrupt defer deferred flush hold incoming maildrop private public saved trace';
  const own = ['data', ...names.split(' ').map((name) => `queue/${name}`)];
  for (const name of [...own, 'queue/pid']) await mkdir(join(path, name), { recursive: true });
  for (const name of own) await chown(join(path, name), owner.uid, owner.gid);
}

/** A database with the one login, and the file that sends Cyrus SASL there. */
async function makePasswords(path: string, configFile: string): Promise<void> {
  const database = join(path, 'sasldb2');
  const [name = '', realm = ''] = LOGIN.user.split('@');
  const saving = run(join(debianRoot, 'usr/sbin/saslpasswd2'), ['-p', '-c', '-f', database, '-u', realm, name], {
    env: { ...process.env, LD_LIBRARY_PATH: libraryFolders().join(':'), SASL_PATH: saslPlugins() },
  });
  saving.child.stdin?.end(LOGIN.pass);
  await saving;
  await writeFile(
    configFile,
    `pwcheck_method: auxprop\nauxprop_plugin: sasldb\nsasldb_path: ${database}\nmech_list: PLAIN LOGIN\n`,
  );
}

function saslPlugins(): string {
  return libraryFolders()
    .map((folder) => join(folder, 'sasl2'))
    .join(':');
}
