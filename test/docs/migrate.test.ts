import 'reflect-metadata';
import type { INestApplicationContext, Type } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import ts from 'typescript';
import { afterEach, beforeAll, beforeEach, describe, expect, it, onTestFinished, vi } from 'vitest';
import { MailService } from '../../src/nest/mail.service.js';
import { HandlebarsEngine } from '../../src/templates/handlebars/engine.js';
import { openPage, type Page } from '../support/page.js';
import { parse } from '../support/parse.js';
import { startSmtpServer, type TestSmtpServer } from '../support/smtp-server.js';
import { readPage, snippetsOf, tableRows } from '../support/snippets.js';

let smtp: TestSmtpServer;

beforeAll(async () => {
  smtp = await startSmtpServer();
});

beforeEach(() => {
  smtp.clear();
  vi.stubEnv('SMTP_URL', smtp.url);
});

afterEach(() => {
  vi.unstubAllEnvs();
});

describe('docs/migrate-from-nestjs-modules-mailer.md', () => {
  const path = 'docs/migrate-from-nestjs-modules-mailer.md';
  const THEIRS = 'node_modules/@nestjs-modules/mailer/dist';

  it('changes an import, and the same mail is sent', async () => {
    const code = snippetsOf(path);
    const moved = code.get('src/before/account-mails.ts')!.replace('@nestjs-modules/mailer', 'nestjs-priority-mail');
    expect(code.get('src/after/account-mails.ts')).toBe(moved.replace('src/before/', 'src/after/'));

    const page = openWithTemplates(path);
    for (const when of ['before', 'after']) {
      const app = await boot(page, `src/${when}/mail.module.ts`);
      const { AccountMails } = await page.load<Mails>(`src/${when}/account-mails.ts`);
      expect(await app.get(AccountMails).welcome('ada@example.com', 'Ada')).toMatch(/^250 /);
    }
    const [before, after] = await Promise.all(smtp.received.map(async ({ raw }) => parse(raw)));
    expect(after).toMatchObject({ subject: 'Welcome, Ada', from: before?.from, to: before?.to });
    expect(after!.html).toContain('<h1>Welcome, ADA!</h1>');
    expect(before!.html).toContain('<h1>Welcome, ADA!</h1>');
    expect(after!.text).toContain('Welcome, ADA!');
  });

  it('goes on to MailService', async () => {
    const page = openWithTemplates(path);
    const app = await boot(page, 'src/after/mail.module.ts');
    const { AccountMails } = await page.load<Mails>('src/moved/account-mails.ts');
    expect(await new AccountMails(app.get(MailService)).welcome('ada@example.com', 'Ada')).toBe('sent');
    const { subject, html } = await parse(smtp.received[0]!.raw);
    expect({ subject, html }).toEqual({ subject: 'Welcome, Ada', html: expect.stringContaining('ADA') as string });
  });

  it('shows an engine that inlines CSS', async () => {
    const page = openPage(path);
    page.write('src/templates/a.hbs', '<style>p { color: red }</style><p>x</p>');
    const { inlining } = await page.load<{ inlining: (engine: HandlebarsEngine) => HandlebarsEngine }>(
      'src/inlining.engine.ts',
    );
    const engine = inlining(new HandlebarsEngine({ dir: `${page.folder}/src/templates` }));
    expect((await engine.render('a', {}, {})).html).toContain('<p style="color: red;">x</p>');
  });

  it('has every option of sendMail()', () => {
    const theirs = [
      ...members(`${THEIRS}/interfaces/send-mail-options.interface.d.ts`, 'ISendMailOptions'),
      ...members('node_modules/@types/nodemailer/lib/mailer/index.d.ts', 'Options'),
    ];
    expect(firstCells(path, 'Options of sendMail()')).toEqual([...new Set(theirs)].sort());
  });

  it('has every option of the module', () => {
    const file = `${THEIRS}/interfaces/mailer-options.interface.d.ts`;
    const shown = firstCells(path, 'Options of the module');
    expect([...new Set(shown.map((option) => option.split('.')[0]!))].sort()).toEqual(
      members(file, 'MailerOptions').sort(),
    );
    const template = shown.filter((option) => option.startsWith('template.')).map((option) => option.slice(9));
    expect(template).toEqual(members(file, 'MailerOptions', 'template').sort());
  });

  it('has every other part', () => {
    const exported = [
      ...readPage(`${THEIRS}/index.d.ts`).matchAll(
        /\b(MAILER_\w+|\w+(?:Service|QueueModule|TestModule|Indicator|Event))\b(?=,| })/g,
      ),
    ];
    const methods = /^ {4}(?!private|constructor|onModule)(\w+)\(/gm;
    const theirs = [
      ...exported.map(([, name = '']) => name),
      ...[...readPage(`${THEIRS}/mailer.service.d.ts`).matchAll(methods)].map(([, name = '']) => name),
    ];
    const shown = section(path, 'Other parts');
    expect(theirs.length).toBeGreaterThan(14);
    expect(theirs.filter((name) => !shown.includes(`\`${name}`) && !shown.includes(`${name}()`))).toEqual([]);
  });
});

describe('docs/migrate-from-nestjs-mail.md', () => {
  const path = 'docs/migrate-from-nestjs-mail.md';
  const THEIRS = 'node_modules/@nestjs/mail/dist';

  it('sends the same mails before and after', async () => {
    interface Shop {
      Orders: Type<{ shipped(...args: string[]): Promise<void> }>;
    }
    const page = openWithTemplates(path);
    const sent = [];
    for (const when of ['before', 'after']) {
      const app = await boot(page, `src/${when}/mail.module.ts`);
      const { Orders } = await page.load<Shop>(`src/${when}/orders.ts`);
      await app.get(Orders).shipped('ada@example.com', 'A-7', 'Ada <3');
      const mails = await Promise.all(smtp.received.map(async ({ raw }) => parse(raw)));
      sent.push(
        mails.map(({ from, to, subject, html, text }) => ({
          from,
          to,
          subject,
          html: html?.trim(),
          text: text?.trim(),
        })),
      );
      smtp.clear();
    }
    expect(sent[1]).toEqual(sent[0]);
    expect(sent[1]!.map(({ subject, text }) => [subject, text])).toEqual([
      ['Bestellung A-7 ist unterwegs', 'Bestellung A-7 ist unterwegs'],
      ['Thanks', 'Thank you, Ada <3'],
      ['Rate us', 'How was it, Ada <3?'],
    ]);
  });

  it('has every option', () => {
    const declared = (file: string, ...names: string[]): string[] =>
      names.flatMap((name) => members(`${THEIRS}/interfaces/${file}.interface.d.ts`, name));
    const unique = (names: string[]): string[] => [...new Set(names)].sort();
    expect(firstCells(path, 'Options of the module')).toEqual(
      unique(declared('mail-module-options', 'MailModuleOptions', 'MailModuleStructure')),
    );
    expect(firstCells(path, 'Options of send()')).toEqual(
      unique([
        ...declared('mail-message', 'MailContent', 'MailTemplateContent', 'MailRecipients'),
        ...declared('mail-send', 'MailDeliveryOptions'),
        ...declared('mailable', 'MailableOverrides'),
        'data',
      ]),
    );
    const [, smtpTable = ''] = section(path, 'Transports').split('| option of `Smtp');
    const shown = tableRows(`| option${smtpTable}`).map(([cell = '']) => cell.replaceAll('`', ''));
    expect(shown.sort()).toEqual(declared('smtp-transport-options', 'SmtpTransportOptions').sort());
  });

  it('has every other part', async () => {
    const shown = readPage(path);
    const exported = Object.keys(await import('@nestjs/mail'));
    const inCode = ['MailModule', 'MAIL_MODULE_OPTIONS', 'MailError'];
    expect(exported.filter((name) => !inCode.includes(name) && !shown.includes(`\`${name}\``))).toEqual([]);
  });
});

/** The page's code with the templates that it shows. */
function openWithTemplates(path: string): Page {
  const page = openPage(path);
  const shown = readPage(path).matchAll(/^`(src\/\S+)`:\n\n```\w+\n([^]*?)^```/gm);
  for (const [, file = '', text = ''] of shown) page.write(file, text);
  return page;
}

interface Mails {
  AccountMails: Type<{ welcome(email: string, name: string): Promise<string> }>;
}

async function boot(page: Page, file: string): Promise<INestApplicationContext> {
  const [AppModule] = Object.values(await page.load<Record<string, Type>>(file));
  const app = await NestFactory.createApplicationContext(AppModule!, { logger: false, abortOnError: false });
  onTestFinished(() => app.close());
  return app;
}

function section(path: string, heading: string): string {
  const at = readPage(path).split(`\n## ${heading}\n`)[1];
  if (at === undefined) throw new Error(`${path} has no ${heading}`);
  return at.split('\n## ')[0]!;
}

function firstCells(path: string, heading: string): string[] {
  return tableRows(section(path, heading))
    .map(([cell = '']) => cell.replaceAll('`', ''))
    .sort();
}

/** The members of an interface in a declaration file, or of the object that one of them is. */
function members(file: string, name: string, member?: string): string[] {
  const source = ts.createSourceFile(file, readPage(file), ts.ScriptTarget.Latest, true);
  let found: ts.NodeArray<ts.TypeElement> | undefined;
  const visit = (node: ts.Node): void => {
    if (ts.isInterfaceDeclaration(node) && node.name.text === name) found = node.members;
    else ts.forEachChild(node, visit);
  };
  visit(source);
  if (member !== undefined) {
    const property = found?.find((one) => one.name?.getText() === member) as ts.PropertySignature | undefined;
    found = (property?.type as ts.TypeLiteralNode | undefined)?.members;
  }
  if (!found) throw new Error(`${file} has no ${name}`);
  return found.map((one) => one.name!.getText());
}
