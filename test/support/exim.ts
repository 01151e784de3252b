import { chown, cp, readdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { debianRoot, hasDebianPackages, libraryFolders } from '../../scripts/lib/debian-packages.mjs';
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
import { unprivilegedUser } from './system-user.js';

/** Why this machine cannot run Exim; undefined when it can. */
export function whyNoExim(): string | undefined {
  return hasDebianPackages() ? undefined : 'is not here; `npm test` fetches it with apt-get';
}

/** Starts an Exim with its own configuration and queue, as any user; stopped when the test file ends. */
export async function startExim(options: MailServerOptions = {}): Promise<MailServer> {
  const folder = await mailServerFolder('exim');
  // Run by root it becomes nobody, who need not be able to look into the repository.
  const root = join(folder.path, 'root');
  await cp(debianRoot, root, { recursive: true, verbatimSymlinks: true });
  const user = await unprivilegedUser('nobody');
  const { uid, gid } = user ?? { uid: process.getuid!(), gid: process.getgid!() };

  const config = join(folder.path, 'exim.conf');
  const accounts = join(folder.path, 'passwd');
  const groups = join(folder.path, 'group');
  const program = join(root, 'usr/sbin/exim4');
  await writeFile(config, configuration(folder, program, options));
  await writeFile(accounts, `${USER}:x:${uid}:${gid}::/:/bin/false\n`);
  await writeFile(groups, `${USER}:x:${gid}:\n`);
  for (const name of ['', ...(await readdir(folder.path))]) await chown(join(folder.path, name), uid, gid);

  const server = new ServerProcess({
    command: program,
    // A queue run at the start delivers what an earlier stop came in between.
    args: ['-C', config, '-bdf', '-q1h'],
    ready: () => greets(folder.port),
    cwd: folder.path,
    env: {
      LD_LIBRARY_PATH: libraryFolders(root).join(':'),
      LD_PRELOAD: 'libnss_wrapper.so',
      NSS_WRAPPER_PASSWD: accounts,
      NSS_WRAPPER_GROUP: groups,
    },
    ...user,
    group: true,
  });
  const mailServer = new MailServer(folder, server);
  await mailServer.start();
  return mailServer;
}

/** The name Debian's Exim was built to run as; nss_wrapper gives it to whoever runs it here. */
const USER = 'Debian-exim';

function configuration(
  { path, port, maildir, certificate, key }: MailServerFolder,
  program: string,
  options: MailServerOptions,
) {
  return `
    exim_path = ${program}
    keep_environment = ^LD_ : ^NSS_WRAPPER_
    spool_directory = ${path}/spool
    log_file_path = ${path}/%s.log
    primary_hostname = exim.test
    local_interfaces = 127.0.0.1
    daemon_smtp_ports = ${port}
    deliver_drop_privilege
    message_size_limit = ${options.maxBytes ?? 1_000_000}
    # By default it leaves what comes after the tenth message of a connection to the next queue run.
    smtp_accept_queue_per_connection = 0
    tls_advertise_hosts = *
    tls_certificate = ${certificate}
    tls_privatekey = ${key}
    auth_advertise_hosts = \${if eq{$tls_in_cipher}{}{}{*}}
    acl_smtp_rcpt = recipients
    acl_smtp_data = accept

    begin acl
    recipients:
      require message = Authentication required
              authenticated = *
      require verify = recipient
      accept

    begin routers
    mailboxes:
      driver = accept
      domains = ${DOMAIN}
      local_parts = !${NO_MAILBOX}
      transport = maildir

    begin transports
    maildir:
      driver = appendfile
      directory = ${maildir}
      maildir_format

    begin authenticators
    plain:
      driver = plaintext
      public_name = PLAIN
      server_prompts = :
      server_condition = \${if and{{eq{$auth2}{${LOGIN.user}}}{eq{$auth3}{${LOGIN.pass}}}}}
    login:
      driver = plaintext
      public_name = LOGIN
      server_prompts = Username:: : Password::
      server_condition = \${if and{{eq{$auth1}{${LOGIN.user}}}{eq{$auth2}{${LOGIN.pass}}}}}
  `;
}
