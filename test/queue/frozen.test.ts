import { expect, it } from 'vitest';
import { startMail } from '../support/app.js';
import { eventually } from '../support/eventually.js';
import { startSmtpServer } from '../support/smtp-server.js';
import { STORES } from '../support/stores.js';
import { startTcpProxy } from '../support/tcp-proxy.js';

it.each(STORES.filter(({ name }) => name !== 'embedded'))(
  'closes although $name has stopped answering',
  async (store) => {
    const smtp = await startSmtpServer();
    const url = new URL(await store.create());
    const proxy = await startTcpProxy(Number(url.port));
    url.port = String(proxy.port);
    const app = await startMail({ smtp: smtp.url, shutdownTimeout: '1s', queue: { connection: url.href } });
    await app.mail.send({ lane: 'bulk', to: 'a@readers.test', subject: 'x', text: 'x' });
    await eventually(() => expect(smtp.received).toHaveLength(1));
    proxy.freeze();
    // Something that the store never answers is under way.
    const unanswered = app.mail.queue().catch((error: unknown) => error);
    await app.close();
    proxy.cut();
    expect(await unanswered).toBeInstanceOf(Error);
  },
  20_000,
);
