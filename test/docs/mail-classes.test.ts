import type { Type } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { expect, it, onTestFinished, vi } from 'vitest';
import { MailService } from '../../src/nest/mail.service.js';
import { membersOf } from './declared.js';
import { eventually } from '../support/eventually.js';
import { openPage } from '../support/page.js';
import { parse } from '../support/parse.js';
import { startSmtpServer } from '../support/smtp-server.js';
import { readPage, tableRows } from '../support/snippets.js';
import { temporaryFolder } from '../support/temp.js';

interface Opening {
  PostsModule: Type;
  Posts: Type<{
    published(title: string, url: string, author: string, followers: object[]): Promise<{ id: string }>;
  }>;
}

const page = openPage('docs/mail-classes.md');

it('docs/mail-classes.md opens with code that sends on both lanes', async () => {
  const smtp = await startSmtpServer();
  vi.stubEnv('SMTP_URL', smtp.url);
  // Where the embedded queue is made.
  process.chdir(temporaryFolder('mail-classes'));
  const { PostsModule, Posts } = await page.load<Opening>('src/new-post.mail.ts');
  const app = await NestFactory.createApplicationContext(PostsModule, { logger: false });
  onTestFinished(() => app.close());
  const followers = ['ann', 'bob'].map((name) => ({ email: `${name}@mail.test`, name }));
  const { id } = await app.get(Posts).published('Ferns', 'https://blog.example/1', 'eve@mail.test', followers);
  await eventually(async () => expect((await app.get(MailService).campaign(id))?.state).toBe('completed'));
  const mails = await Promise.all(smtp.received.map(({ raw }) => parse(raw)));
  expect(mails.map(({ to, subject, text }) => [to[0]!.address, subject, text?.split(',')[0]]).sort()).toEqual([
    ['ann@mail.test', 'New: Ferns', 'Hello ann'],
    ['bob@mail.test', 'New: Ferns', 'Hello bob'],
    ['eve@mail.test', 'New: Ferns', 'Hello author'],
  ]);
});

it('docs/mail-classes.md shows a class whose trouble passes', async () => {
  const { StatementMail } = await page.load<{ StatementMail: Type<{ render(data: object): Promise<object> }> }>(
    'src/statement.mail.ts',
  );
  const cause = new Error('away');
  const mail = new StatementMail({ balance: () => Promise.reject(cause) });
  await expect(mail.render({ account: '1' })).rejects.toMatchObject({ permanent: false, cause });
});

it('docs/mail-classes.md has every option of @Mail', () => {
  const shown = tableRows(readPage('docs/mail-classes.md')).map(([option = '']) => option.replaceAll('`', ''));
  expect(shown.sort()).toEqual([...membersOf('src/nest/mail-class.ts', 'MailClassOptions').keys()].sort());
});
