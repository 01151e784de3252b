import type { Type } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { MailError } from '../../src/errors.js';
import { MailModule } from '../../src/nest/mail.module.js';
import { MailService } from '../../src/nest/mail.service.js';
import { isDeeper, withoutTags } from '../../src/templates/markup.js';
import { plainTextOf } from '../../src/templates/plain-text.js';
import { renderTemplate } from '../../src/templates/render.js';
import type { TemplateEngine } from '../../src/templates/engine.js';
import { HandlebarsEngine } from '../../src/templates/handlebars/engine.js';
import { parse, refusal, withMain } from '../nest/options.js';
import { parse as parseMail } from '../support/parse.js';
import { startSmtpServer } from '../support/smtp-server.js';
import { openPage, type Page } from '../support/page.js';
import { readPage } from '../support/snippets.js';
import { temporaryFolder } from '../support/temp.js';

const ONE: TemplateEngine = { render: (name) => ({ html: `<p>${name}</p>` }) };

describe('renderTemplate', () => {
  it('gives what the engine gives', async () => {
    expect(await renderTemplate(ONE, 'welcome', {})).toEqual({ html: '<p>welcome</p>' });
    const both: TemplateEngine = {
      render: (_, __, { locale = 'none' }) => ({ subject: locale, html: '<p>', text: '' }),
    };
    expect(await renderTemplate(both, 'a', {}, 'ko')).toEqual({ subject: 'ko', html: '<p>', text: '' });
  });

  it.each([
    [{}, 'neither html nor text'],
    [undefined, 'neither html nor text'],
    [{ html: Buffer.from('x') }, 'a html that is no string'],
    [{ text: 'x', subject: 5 }, 'a subject that is no string'],
  ])('does not take %j from an engine', async (result, problem) => {
    const engine = { render: () => result } as unknown as TemplateEngine;
    await expect(renderTemplate(engine, 'a', {})).rejects.toMatchObject({
      message: expect.stringContaining(problem) as string,
      code: 'TEMPLATE',
      permanent: true,
    });
  });

  it('fails for good with what an engine throws, unless that says otherwise', async () => {
    const cause = new TypeError('name is undefined');
    const broken: TemplateEngine = { render: () => Promise.reject(cause) };
    await expect(renderTemplate(broken, 'a', {})).rejects.toMatchObject({ code: 'TEMPLATE', permanent: true, cause });
    const passing = new MailError('The template store is away', { permanent: false });
    const away: TemplateEngine = { render: () => Promise.reject(passing) };
    await expect(renderTemplate(away, 'a', {})).rejects.toBe(passing);
  });
});

describe('the text of HTML', () => {
  it.each([
    ['<h1>Hi Ada</h1><p>One<br>two</p>', 'Hi Ada\n\nOne\ntwo'],
    ['<p>See <a href="https://x.test/?a=1&amp;b">the shop</a>.</p>', 'See the shop [https://x.test/?a=1&b].'],
    ['<a href="https://x.test/">https://x.test/</a>', 'https://x.test/'],
    ['<a href="mailto:a@x.test">a@x.test</a> <a href="#top">top</a>', 'a@x.test top'],
    ['<img src="p.gif" alt=""><img src="l.png" alt="Shop"> x', 'Shop x'],
    ['<table><tr><td>Tea</td><td>5</td></tr><tr><td><p>A</p></td></tr></table>', 'Tea 5\n\nA'],
    ['<head><title>T</title></head><style>a{}</style><div style="color:red;DISPLAY: none">pre</div><p>x', 'x'],
    ['<ul><li>a<li>b</ul>', ' * a\n * b'],
    [`<p>${'word '.repeat(60)}</p>`, 'word '.repeat(60).trim()],
    ['5 < 6 &amp; 7', '5 < 6 & 7'],
  ])('of %s', async (html, text) => {
    expect(await plainTextOf(html)).toBe(text);
  });

  it.each([
    ['elements', '<div>'.repeat(5_000)],
    ['tables', '<table><tr><td>'.repeat(5_000)],
    ['closing tags that are none', '<div title="</div>"><!-- </div> --><style></div></style></b>'.repeat(5_000)],
    ['quotes that are none', '<div ="><div \'>'.repeat(5_000)],
  ])('is bare where there is no end of %s', async (_, nested) => {
    expect(await plainTextOf(`a${nested}b &amp; <i>c</i>`)).toMatch(/^a[^<]*b & c$/s);
  });

  it.each([
    '<p>a'.repeat(2_000),
    '<ul>' + '<li>a'.repeat(2_000) + '</ul>',
    '<table>' + '<tr><td>a<td>b'.repeat(2_000) + '</table>',
    'a<br><IMG src=x alt="<b>">'.repeat(2_000),
    '<div><b>a</div>'.repeat(2_000),
    '<!-- <div> -->a<script>"<div>"</script>'.repeat(2_000),
    '<a href="x>y" title=\'>\' b=c>a</a>'.repeat(2_000),
  ])('is not bare where there is much that is not nested: %.30s', (html) => {
    expect(isDeeper(html, 500)).toBe(false);
  });

  it('takes no longer than there is to read', () => {
    for (const part of ['<div', '<div a="', '<!--', '<title>', '<a =', '<a b=   ', '</', '< ']) {
      withoutTags(part.repeat(100_000));
    }
  });
});

describe('the option templates', () => {
  const dir = temporaryFolder('templates');

  it('is none by default, and Handlebars with a folder', async () => {
    expect(parse({}).templates).toBeUndefined();
    writeFileSync(join(dir, 'a.ko.txt'), '{{shout name}}{{name}}');
    writeFileSync(join(dir, 'b.txt'), 'b');
    const helpers = { shout: (word = '') => String(word).toUpperCase() };
    const { engine, preload } = parse({ templates: { dir, helpers, defaultLocale: 'ko', strict: true } }).templates!;
    expect(preload).toBe(false);
    expect(await engine.render('a', { name: 'ada' }, {})).toEqual({ text: 'ADAada' });
    await expect(engine.render('a', {}, {})).rejects.toThrow('"name" not defined');
  });

  it('may be an engine', () => {
    expect(parse({ templates: { engine: ONE } }).templates).toEqual({ engine: ONE, preload: false });
  });

  it.each([
    [{}, 'templates.dir is missing. Give the folder'],
    [{ dir: 5 }, 'templates.dir is 5'],
    [{ dir: 'nowhere' }, `there is no folder ${join(process.cwd(), 'nowhere')}. Where it is missing in a build`],
    [{ dir, folder: 'x' }, 'templates.folder is not known'],
    [{ dir, helpers: { shout: 'x' } }, 'templates.helpers.shout is "x". Give a function.'],
    [{ dir, helpers: [] }, 'templates.helpers is an empty list'],
    [{ dir, reload: 'yes' }, 'templates.reload is "yes"'],
    [{ engine: {} }, 'templates.engine is an object. Give an object with render('],
    [{ engine: { ...ONE, has: true } }, 'templates.engine.has is true'],
    [{ engine: ONE, dir }, 'templates.dir is not known'],
    [{ engine: ONE, preload: true }, 'has no preload()'],
  ])('is refused as %j', (templates, problem) => {
    expect(refusal(withMain({ templates }))).toContain(problem);
  });

  it('stops the boot at a broken template with preload', async () => {
    const broken = temporaryFolder('templates');
    writeFileSync(join(broken, 'a.hbs'), '{{#if}');
    const boot = (preload: boolean) =>
      NestFactory.createApplicationContext(
        MailModule.forRoot({ ...withMain({}), queue: false, templates: { dir: broken, preload } }),
        { logger: false, abortOnError: false },
      );
    await (await boot(false)).close();
    await expect(boot(true)).rejects.toThrow(/cannot be used:\nThe template .*a\.hbs, line 1, is broken/);
  });
});

describe('docs/templates.md', () => {
  afterEach(() => {
    vi.unstubAllEnvs();
  });

  /** The page's code with the templates that it shows. */
  function open(): Page {
    const page = openPage('docs/templates.md');
    const shown = readPage('docs/templates.md').matchAll(/^`(src\/templates\/\S+)`:\n\n```handlebars\n([^]*?)^```/gm);
    for (const [, path = '', text = ''] of shown) page.write(path, text);
    return page;
  }

  it('opens with an application that sends', async () => {
    const smtp = await startSmtpServer();
    vi.stubEnv('SMTP_URL', smtp.url);
    interface Opening {
      TemplatesModule: Type;
      Accounts: Type<{ welcome(email: string, name: string, locale: string): Promise<void> }>;
    }
    const { TemplatesModule, Accounts } = await open().load<Opening>('src/templates.module.ts');
    const app = await NestFactory.createApplicationContext(TemplatesModule, { logger: false, abortOnError: false });
    await app.get(Accounts).welcome('ada@example.com', '에이다', 'ko-KR');
    const misspelt = app.get(MailService).send({ to: 'ada@example.com', template: 'auth/welcom' });
    await expect(misspelt).rejects.toThrow(
      /template: There is no template .*looked for auth\/welcom\.hbs.*"auth\/welcome"/,
    );
    await app.close();
    const { subject, html, text } = await parseMail(smtp.received[0]!.raw);
    expect({ subject, text: text?.trim() }).toEqual({
      subject: '에이다님, 환영합니다',
      text: '에이다님, 환영합니다!\n\n상점, 시장길 1',
    });
    expect(html).toContain('<html lang="ko-KR">');
  });

  it('shows templates in two languages', async () => {
    const engine = new HandlebarsEngine({ dir: join(open().folder, 'src/templates') });
    await engine.preload();
    const english = await renderTemplate(engine, 'auth/welcome', { name: 'Ada <3' }, 'en-GB');
    expect(english.subject).toBe('Welcome, Ada <3');
    expect(english.html).toContain('<html lang="en-GB">');
    expect(english.html).toContain('<title>Welcome, Ada &lt;3</title>');
    expect(await plainTextOf(english.html!)).toBe(
      'Welcome, Ada <3!\n\nYour account is ready. Have a look [https://shop.example/account].\n\nShop, 1 Market Street',
    );
    const korean = await renderTemplate(engine, 'auth/welcome', { name: '에이다' }, 'ko-KR');
    expect(korean.subject).toBe('에이다님, 환영합니다');
  });

  it('shows a helper that knows the language', async () => {
    const { templates } = await open().load<{ templates: { helpers: object } }>('src/helpers.ts');
    const folder = temporaryFolder('templates');
    writeFileSync(join(folder, 'a.txt'), '{{money total "EUR"}}');
    const { engine } = parse({ templates: { ...templates, dir: folder } }).templates!;
    expect(await engine.render('a', { total: 5 }, { locale: 'de' })).toEqual({ text: '5,00\u00a0€' });
  });

  it.each([
    ['ejs', 'receipt.ejs', '<h1>Thanks, <%= name %></h1>', 'receipt'],
    ['mjml', 'receipt.hbs', mjml('Thanks, {{name}}'), 'receipt'],
    ['react', 'unused', '', 'Welcome'],
  ])('shows an engine of %s', async (engine, file, template, name) => {
    const page = open();
    page.write(`src/templates/${file}`, template);
    const path = engine === 'react' ? 'src/react.engine.tsx' : `src/${engine}.engine.ts`;
    const loaded = await page.load<Record<string, TemplateEngine>>(path);
    const rendered = await renderTemplate(loaded[`${engine}Engine`]!, name, { name: 'Ada <3' });
    expect(await plainTextOf(rendered.html!)).toMatch(/^(Thanks|Welcome), Ada <3!?$/);
    expect(rendered.html).toMatch(/, (<!-- -->)?Ada &lt;3/);
    await expect(renderTemplate(loaded[`${engine}Engine`]!, 'absent', {})).rejects.toThrow(/absent/);
  });
});

function mjml(text: string): string {
  const column = `<mj-column><mj-text>${text}</mj-text></mj-column>`;
  return `<mjml><mj-body><mj-section>${column}</mj-section></mj-body></mjml>`;
}
