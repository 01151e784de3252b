import 'reflect-metadata';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Type } from '@nestjs/common';
import { Test } from '@nestjs/testing';
import { expect, it, onTestFinished } from 'vitest';
import { GRAVEST_FIRST, SCOPES } from '../../src/feedback/suppression.js';
import { MailModule } from '../../src/nest/mail.module.js';
import { MailService } from '../../src/nest/mail.service.js';
import { MailFake } from '../../src/testing/index.js';
import { openPage } from '../support/page.js';
import { readPage, tableRows } from '../support/snippets.js';
import { temporaryFolder } from '../support/temp.js';

interface MailingList {
  unsubscribe(address: string, list: string): Promise<void>;
  send(id: string, readers: string[]): Promise<object | undefined>;
  takeOver(file: string): Promise<string>;
  backUp(file: string): Promise<void>;
}

it('leaves out whom the list of docs/suppression.md holds, and keeps it as a file', async () => {
  const { MailingList } = await openPage('docs/suppression.md').load<{ MailingList: Type<MailingList> }>(
    'src/mailing-list.ts',
  );
  const fake = new MailFake();
  const module = MailModule.forRoot({
    from: 'Shop <no-reply@shop.test>',
    transports: [{ name: 'main', url: 'smtp://smtp.invalid' }],
    queue: { connection: 'redis://redis.invalid:1' },
  });
  const builder = Test.createTestingModule({ imports: [module], providers: [MailingList] });
  const app = await (await fake.install(builder).compile()).init();
  onTestFinished(() => app.close());
  const list = app.get<MailingList>(MailingList);

  const folder = temporaryFolder('suppressed');
  writeFileSync(join(folder, 'bounces.csv'), 'email,created\nann@mail.test,1795165200\nnobody,1795165200\n');
  expect(await list.takeOver(join(folder, 'bounces.csv'))).toBe(
    '1 added, 1 not\n3: address: "nobody" is not an address',
  );
  await list.unsubscribe('bob@mail.test', 'weekly');
  await list.unsubscribe('cid@mail.test', 'offers');

  const report = await list.send('week-1', ['ann@mail.test', 'bob@mail.test', 'cid@mail.test', 'dan@mail.test']);
  expect(report).toMatchObject({ total: 4, queued: 4 });
  await list.unsubscribe('dan@mail.test', 'weekly');
  await fake.deliverQueued();
  expect(fake.sent().flatMap(({ to }) => to)).toEqual(['cid@mail.test']);
  expect(await app.get(MailService).campaign('week-1')).toMatchObject({ sent: 1, cancelled: 3, suppressed: 3 });

  expect(await fake.suppressions()).toHaveLength(4);
  await list.backUp(join(folder, 'suppressed.csv'));
  const text = readFileSync(join(folder, 'suppressed.csv'), 'utf8');
  expect(text).toContain('ann@mail.test,all,hard-bounce,2026-11-20T09:00:00.000Z,\r\n');
});

it('tells the scope of every reason, the gravest first', () => {
  const rows = tableRows(readPage('docs/suppression.md')).filter(([, , more]) => more === undefined);
  const reasons = rows.flatMap(([reason = '', scope = '']) => {
    const [, name] = /^`'([a-z-]+)'`/.exec(reason) ?? [];
    return name !== undefined && name in SCOPES ? [[name, scope.replace(/[`']/g, '')]] : [];
  });
  expect(reasons).toEqual(GRAVEST_FIRST.map((reason) => [reason, SCOPES[reason]]));
});
