import type { Type } from '@nestjs/common';
import { Test } from '@nestjs/testing';
import { expect, it, onTestFinished } from 'vitest';
import { MailFake } from '../../src/testing/mail-fake.js';
import { membersOf } from './declared.js';
import { openPage } from '../support/page.js';
import { readPage, tableRows } from '../support/snippets.js';

interface Opening {
  PostsModule: Type;
  Posts: Type<{
    published(title: string, url: string, author: string, followers: object[]): Promise<{ id: string }>;
  }>;
}

const page = openPage('docs/mail-classes.md');

it('docs/mail-classes.md opens with code that sends on both lanes', async () => {
  const { PostsModule, Posts } = await page.load<Opening>('src/new-post.mail.ts');
  const fake = new MailFake();
  const app = await fake.install(Test.createTestingModule({ imports: [PostsModule] })).compile();
  await app.init();
  onTestFinished(() => app.close());
  const followers = ['ann', 'bob'].map((name) => ({ email: `${name}@mail.test`, name }));
  await app.get(Posts).published('Ferns', 'https://blog.example/1', 'eve@mail.test', followers);
  fake.assertQueued({ to: 'ann@mail.test', mail: 'new-post' });
  await fake.deliverQueued();
  expect(fake.sent().map(({ to, subject, text }) => [to[0], subject, text?.split(',')[0]])).toEqual([
    ['eve@mail.test', 'New: Ferns', 'Hello author'],
    ['ann@mail.test', 'New: Ferns', 'Hello ann'],
    ['bob@mail.test', 'New: Ferns', 'Hello bob'],
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
