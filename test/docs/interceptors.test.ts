import 'reflect-metadata';
import type { Type } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { afterEach, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest';
import { MailService } from '../../src/nest/mail.service.js';
import { atEnd } from '../support/cleanup.js';
import { eventually } from '../support/eventually.js';
import { openPage } from '../support/page.js';
import { parse } from '../support/parse.js';
import { startRedis } from '../support/redis.js';
import { startSmtpServer, type TestSmtpServer } from '../support/smtp-server.js';
import { readPage, tableRows } from '../support/snippets.js';
import { membersOf } from './declared.js';

let smtp: TestSmtpServer;
let store: string;

beforeAll(async () => {
  smtp = await startSmtpServer();
  store = (await startRedis()).url;
});
beforeEach(() => {
  smtp.clear();
  vi.stubEnv('SMTP_URL', smtp.url);
  vi.stubEnv('QUEUE_URL', store);
});
afterEach(() => void vi.unstubAllEnvs());

describe('the code of docs/interceptors.md', () => {
  it('keeps a staging system from writing to real people', async () => {
    vi.stubEnv('STAGE', 'staging');
    const mail = await start('src/guarded-mail.module.ts', 'GuardedMailModule');

    const veto = mail.send({ to: 'ann@mail.test', subject: 'x', text: 'x', headers: { 'X-Shop': 'closed' } });
    await expect(veto).rejects.toMatchObject({
      code: 'VETOED',
      message: expect.stringContaining('openShopsOnly') as string,
    });
    const now = await mail.send({ to: 'Ann <ann@mail.test>', cc: 'boss@shop.example', subject: 'Code', text: 'x' });
    expect(now).toMatchObject({ status: 'sent', accepted: ['qa@shop.example', 'boss@shop.example'] });
    const { id } = await mail.send({
      lane: 'bulk',
      to: ['ann@mail.test', 'bob@mail.test'],
      subject: 'Post',
      text: 'x',
    });
    const campaign = await mail.sendBulk({
      subject: 'News for {{name}}',
      text: 'x',
      recipients: ['cy', 'dee'].map((name) => ({ to: `${name}@mail.test`, context: { name } })),
    });
    await eventually(() => expect(smtp.received).toHaveLength(4));

    const mails = await Promise.all(
      smtp.received.map(async ({ to, raw }) => {
        const { subject, headers } = await parse(raw);
        return [subject, to, headers['x-original-to'], headers['to'], headers['cc']];
      }),
    );
    const qa = 'qa@shop.example';
    expect(mails.sort()).toEqual([
      ['[staging] Code', [qa, 'boss@shop.example'], 'ann@mail.test', qa, 'boss@shop.example'],
      ['[staging] News for cy', [qa], 'cy@mail.test', qa, undefined],
      ['[staging] News for dee', [qa], 'dee@mail.test', qa, undefined],
      ['[staging] Post', [qa], 'ann@mail.test, bob@mail.test', qa, undefined],
    ]);
    await eventually(async () => {
      expect(await mail.campaign(campaign.id)).toMatchObject({ state: 'completed', sent: 2 });
      expect((await mail.status(id))?.recipients).toMatchObject([
        { address: 'ann@mail.test', state: 'sent' },
        { address: 'bob@mail.test', state: 'sent' },
      ]);
    });
  });

  it('takes those out who want no mail', async () => {
    const mail = await start('src/suppressed-mail.module.ts', 'SuppressedMailModule');
    await mail.send({ to: 'ann@mail.test', cc: 'gone@mail.example', subject: 'A', text: 'x' });
    await expect(mail.send({ to: 'gone@mail.example', subject: 'A', text: 'x' })).rejects.toThrow(
      'intercept: suppressed',
    );
    expect(smtp.received.map(({ to }) => to)).toEqual([['ann@mail.test']]);
  });
});

it('docs/interceptors.md has every field of a mail', () => {
  const [, section = ''] =
    /^## What an interceptor sees[^\n]*\n([^]*?)^## /m.exec(readPage('docs/interceptors.md')) ?? [];
  const shown = tableRows(section).flatMap(([cell = '']) => [...cell.matchAll(/`(\w+)`/g)].map(([, name]) => name));
  expect(shown.sort()).toEqual([...membersOf('src/delivery/intercepted-mail.ts', 'InterceptedMail').keys()].sort());
});

async function start(file: string, name: string): Promise<MailService> {
  const modules = await openPage('docs/interceptors.md').load<Record<string, Type>>(file);
  const app = await NestFactory.createApplicationContext(modules[name]!, { logger: false });
  atEnd(() => app.close());
  return app.get(MailService);
}
