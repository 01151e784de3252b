import { join } from 'node:path';
import { describe, it } from 'vitest';
import { openMailServer } from '../../src/cli/status-agent/open-mail-server.js';
import { eventually } from '../support/eventually.js';
import { startExim, whyNoExim } from '../support/exim.js';
import { DOMAIN } from '../support/mail-server.js';
import { startPostfix, whyNoPostfix } from '../support/postfix.js';
import { mail, send, smtpTransport } from '../transport/smtp.js';

const servers = [
  ['postfix', startPostfix, whyNoPostfix(), (path: string) => ({ spool: join(path, 'queue') })],
  ['exim', startExim, whyNoExim(), (path: string) => ({ queueDir: join(path, 'spool', 'input') })],
] as const;

describe.each(servers)('a real %s', (name, start, whyNot, paths) => {
  it.skipIf(whyNot)('has in its queue what it could not deliver', async () => {
    const server = await start();
    const { queue } = openMailServer(name, paths(server.path));
    const transport = smtpTransport(server.url, { tls: { ca: server.ca } });
    await send(transport, mail('1', [`ann@${DOMAIN}`]));
    await eventually(async () => (await queue!()) === 0 && (await server.delivered()).length === 1);
    await server.fillUp();
    for (const subject of ['2', '3', '4']) await send(transport, mail(subject, [`ann@${DOMAIN}`]));
    await eventually(async () => (await queue!()) === 3);
  });
});
