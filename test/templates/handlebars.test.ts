import { mkdirSync, rmSync, symlinkSync, utimesSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { MailConfigError, MailError } from '../../src/errors.js';
import { HandlebarsEngine } from '../../src/templates/handlebars/engine.js';
import type { HandlebarsOptions } from '../../src/templates/handlebars/options.js';
import { temporaryFolder } from '../support/temp.js';

afterEach(() => {
  vi.useRealTimers();
  vi.unstubAllEnvs();
});

const WELCOME = '---\nsubject: Hello {{name}}\n---\n<p>{{name}}</p>';

function templates(files: Record<string, string>): string {
  const dir = temporaryFolder('templates');
  write(dir, files);
  return dir;
}

function write(dir: string, files: Record<string, string>): void {
  for (const [path, text] of Object.entries(files)) {
    mkdirSync(dirname(join(dir, path)), { recursive: true });
    writeFileSync(join(dir, path), text);
  }
}

function engineOf(files: Record<string, string>, options: Partial<HandlebarsOptions> = {}): HandlebarsEngine {
  return new HandlebarsEngine({ dir: templates(files), ...options });
}

async function faultOf(action: Promise<unknown>): Promise<MailError> {
  const error = await action.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  expect(error).toBeInstanceOf(MailError);
  return error as MailError;
}

describe('a template', () => {
  it('escapes values in HTML, and in neither text nor subject', async () => {
    const engine = engineOf({ 'welcome.hbs': WELCOME, 'welcome.txt.hbs': 'Hello {{name}}', 'plain.txt': '{{name}}' });
    expect(await engine.render('welcome', { name: "O'Brien <3" })).toEqual({
      subject: "Hello O'Brien <3",
      html: '<p>O&#x27;Brien &lt;3</p>',
      text: "Hello O'Brien <3",
    });
    expect(await engine.render('plain', { name: '<b>' })).toEqual({ text: '<b>' });
    await expect(engine.render('welcome.txt', {})).rejects.toThrow('There is no template "welcome.txt"');
  });

  it('takes the subject of the text where there is no HTML, and makes one line of it', async () => {
    const engine = engineOf({ 'a.txt': '---\nsubject:  {{name}}, hi  \n---\ntext' });
    const { subject } = await engine.render('a', { name: 'Ada\r\nBcc: eve@example.com\0' });
    expect(subject).toBe('Ada Bcc: eve@example.com , hi');
  });

  it('never makes template source of data', async () => {
    const engine = engineOf({ 'a.hbs': '{{name}} {{> (lookup . "part")}}', 'partials/p.hbs': 'part' });
    expect(await engine.render('a', { name: '{{secret}}', part: 'p', secret: 1 })).toEqual({ html: '{{secret}} part' });
    await expect(engine.render('a', { part: { type: 'Program', body: [] } })).rejects.toThrow(/could not be found/);
  });

  it('sees own properties alone', async () => {
    vi.spyOn(console, 'error').mockImplementation(() => undefined);
    class User {
      name = 'Ada';
      get password(): string {
        return 'secret';
      }
    }
    const engine = engineOf({ 'a.txt': '{{user.name}}|{{user.password}}|{{constructor.name}}|{{__proto__}}' });
    expect(await engine.render('a', { user: new User() })).toEqual({ text: 'Ada|||' });
  });

  it('leaves the place of a missing value empty, unless strict', async () => {
    const files = { 'a.txt': '---\nsubject: hi\n---\n\n[{{user.name}}]{{#if later}}x{{/if}}' };
    expect((await engineOf(files).render('a', {})).text).toBe('\n[]');
    const strict = engineOf(files, { strict: true });
    expect((await strict.render('a', { user: { name: 'Ada' } })).text).toBe('\n[Ada]');
    const fault = await faultOf(strict.render('a', { user: {} }));
    expect(fault.message).toMatch(/a\.txt, line 5, cannot be rendered: "name" not defined in /);
    expect(fault).toMatchObject({ code: 'TEMPLATE', permanent: true, cause: expect.any(Error) as Error });
  });

  it('lies in a folder, and may have a dot in its name', async () => {
    const engine = engineOf({ 'auth/order.new.hbs': 'new', 'auth/order.new.ko.hbs': '새' });
    expect(await engine.render('auth/order.new', {})).toEqual({ html: 'new' });
    expect(await engine.render('auth/order.new', {}, { locale: 'ko' })).toEqual({ html: '새' });
  });

  it.each(['../secret', 'auth/../../secret', '/etc/passwd', 'a\0', '', '.', 'a//b', '..\\secret', 'c:\\x', 7])(
    'is not %j, whatever lies there',
    async (name) => {
      const dir = templates({ 'secret.hbs': 'secret', 'mails/a.hbs': 'a', 'mails/auth/b.hbs': 'b' });
      const engine = new HandlebarsEngine({ dir: join(dir, 'mails') });
      const fault = await faultOf(engine.render(name as string, {}));
      expect(fault.message).toContain("must be a template's name");
      expect(fault.code).toBe('TEMPLATE');
      await expect(engine.has(name as string)).rejects.toThrow(MailError);
    },
  );

  it('may be a link, as in a mounted ConfigMap', async () => {
    const dir = templates({ '..data/a.hbs': 'linked' });
    symlinkSync(join(dir, '..data/a.hbs'), join(dir, 'a.hbs'));
    const engine = new HandlebarsEngine({ dir });
    expect(await engine.render('a', {})).toEqual({ html: 'linked' });
    await engine.preload();
  });

  it('that is missing is searched for in words', async () => {
    const engine = engineOf({ 'auth/welcome.hbs': 'x', 'reset.txt': 'x', 'layouts/base.hbs': '{{{body}}}' });
    const fault = await faultOf(engine.render('welcom', {}, { locale: 'ko-KR' }));
    expect(fault.message).toMatch(
      /^There is no template "welcom" in \/.*: looked for welcom\.ko-kr\.hbs, welcom\.ko\.hbs, welcom\.hbs, welcom\.ko-kr\.txt\.hbs, /,
    );
    expect(fault.message).toMatch(/Did you mean "auth\/welcome"\?$/);
    expect(fault).toMatchObject({ code: 'TEMPLATE', permanent: true });
    expect((await faultOf(engine.render('auth/welcome.hbs', {}))).message).toContain('Did you mean "auth/welcome"?');
    expect((await faultOf(engine.render('layouts/base', {}))).message).not.toContain('Did you mean');
    expect(
      await Promise.all(['welcome', 'auth/welcome', 'reset', 'layouts/base'].map((one) => engine.has(one))),
    ).toEqual([false, true, true, false]);
  });
});

describe('a language', () => {
  const files = {
    'a.hbs': 'default',
    'a.txt': 'default text',
    'a.ko.hbs': '---\nsubject: 안녕\n---\nko {{> sign}}',
    'a.pt-BR.hbs': 'pt-BR',
    'b.en.txt': 'en',
    'b.zh-Hant.txt': 'zh',
    'partials/sign.hbs': 'sign',
    'partials/sign.ko.hbs': '{{@locale}}',
  };

  it.each([
    ['a', undefined, { html: 'default', text: 'default text' }],
    ['a', 'fr', { html: 'default', text: 'default text' }],
    ['a', 'ko-KR', { subject: '안녕', html: 'ko ko-KR' }],
    ['a', 'ko_KR', { subject: '안녕', html: 'ko ko-KR' }],
    ['a', 'PT-br', { html: 'pt-BR' }],
    ['a', 'pt', { html: 'default', text: 'default text' }],
    ['a', '../../etc', { html: 'default', text: 'default text' }],
    ['b', undefined, { text: 'en' }],
    ['b', 'ja', { text: 'en' }],
    ['b', 'zh-Hant-TW', { text: 'zh' }],
  ])('of %s in %s is the nearest there is', async (name, locale, expected) => {
    const engine = engineOf(files, { defaultLocale: 'en-US' });
    expect(await engine.render(name, {}, locale === undefined ? {} : { locale })).toEqual(expected);
  });

  it('has a template that lies in another one alone', async () => {
    const engine = engineOf(files);
    expect([await engine.has('b'), await engine.has('c')]).toEqual([true, false]);
    const fault = await faultOf(engine.render('b', {}, { locale: 'ko' }));
    expect(fault.message).toMatch(/^There is no template "b" in .* It is there in (en|zh-hant), \S+ alone/);
    expect(fault.message).not.toContain('Did you mean');
  });

  it('that no file has takes no room', async () => {
    const engine = engineOf(files);
    const library = await (engine as unknown as { current(): Promise<{ partials: Map<string, unknown> }> }).current();
    const sizes: number[] = [];
    for (const locale of ['ko', 'xx', 'xx-a1', 'xx-a2', 'ko-a1', 'ko-a2']) {
      await engine.render('a', {}, { locale });
      sizes.push(library.partials.size);
    }
    expect(sizes.at(-1)).toBe(sizes[1]);
  });
});

describe('layouts, partials and helpers', () => {
  const files = {
    'a.hbs': '---\nlayout: base\nsubject: Hi\n---\n<p>{{name}}</p>{{> footer}}',
    'a.txt': '---\nlayout: base\n---\n{{name}} {{> footer}}',
    'bare.hbs': '---\nlayout: none\n---\nbare',
    'other.hbs': 'other',
    'other.txt': 'other',
    'layouts/base.hbs': '<title>{{@subject}}</title>{{{body}}}|{{body}}|{{> @partial-block}}|{{name}}',
    'layouts/base.txt': '== {{> @partial-block}} ==',
    'layouts/html-only.hbs': '[{{{body}}}]',
    'partials/footer.hbs': '<i>{{shout name}}</i>',
    'partials/footer.txt': '- {{shout name}}',
  };
  const helpers = { shout: (word: string) => word.toUpperCase() };

  it('are there for both halves', async () => {
    const engine = engineOf(files, { helpers });
    const inner = '<p>&lt;ada&gt;</p><i>&lt;ADA&gt;</i>';
    const mail = {
      subject: 'Hi',
      html: `<title>Hi</title>${inner}|${inner}|${inner}|&lt;ada&gt;`,
      text: '== <ada> - <ADA> ==',
    };
    expect(await engine.render('a', { name: '<ada>', body: 'not this' })).toEqual(mail);
    // Text first: Handlebars itself compiles a partial once, escaped or not.
    expect(await engine.render('a', { name: '<ada>' })).toEqual(mail);
  });

  it('may be elsewhere, and one for all', async () => {
    const parts = templates({ 'p/footer.hbs': 'F', 'l/base.hbs': '<{{{body}}}>' });
    const engine = engineOf(
      { 'a.hbs': '{{> footer}}' },
      { partials: join(parts, 'p'), layouts: join(parts, 'l'), layout: 'base' },
    );
    expect(await engine.render('a', {})).toEqual({ html: '<F>' });
  });

  it('are left out where a template says so, and of a text that has none', async () => {
    const engine = engineOf(files, { helpers, layout: 'html-only' });
    expect(await engine.render('bare', {})).toEqual({ html: 'bare' });
    expect(await engine.render('other', {})).toEqual({ html: '[other]', text: 'other' });
  });

  it('that are missing are named', async () => {
    const engine = engineOf({
      'a.hbs': '---\nlayout: bse\n---\n',
      'b.txt': 'a\n{{> footer}}',
      'c.hbs': '{{format 1}}',
      'd.txt': '---\nlayout: base\n---\n',
      'layouts/base.hbs': '',
    });
    const messages = await Promise.all(
      ['a', 'b', 'c', 'd'].map(async (name) => (await faultOf(engine.render(name, {}))).message),
    );
    expect(messages).toEqual([
      expect.stringMatching(
        /a\.hbs asks for the layout "bse", which is not in \/.*layouts: looked for bse\.hbs\. Did you mean "base"\?$/,
      ),
      expect.stringMatching(
        /b\.txt cannot be rendered: The partial footer could not be found: looked in \/.*partials$/,
      ),
      expect.stringMatching(/c\.hbs cannot be rendered: Missing helper: "format"$/),
      expect.stringMatching(
        /d\.txt asks for the layout "base", which is not in .*: looked for base\.txt\.hbs, base\.txt\.$/,
      ),
    ]);
  });

  it('name the file that fails', async () => {
    const engine = engineOf(
      { 'a.hbs': 'x{{> deep/broken}}', 'b.hbs': '{{late}}', 'partials/deep/broken.hbs': 'a\n{{#if x}}\n{{/each}}' },
      { helpers: { late: async () => 1 } },
    );
    expect((await faultOf(engine.render('a', {}))).message).toMatch(
      /^The template \/.*partials\/deep\/broken\.hbs, line 2, is broken: if doesn't match each$/,
    );
    expect((await faultOf(engine.render('b', {}))).message).toContain('the helper late is asynchronous');
  });
});

describe('front matter', () => {
  it.each([
    ['---\nsubject: a\n', 1, 'is not ended'],
    ['---\nsubject: a\n\nsubject: b\n---\n', 4, 'a second subject'],
    ['---\r\nsubject: a\r\ntitle: b\r\n---\r\n', 3, '"title: b" is neither "subject: …" nor "layout: …"'],
    ['---\nsubject:\n---\n', 2, '"subject:" is neither'],
    ['---\n# a comment\n---\n', 2, 'is neither'],
    ['---\nsubject: "a"\n---\n', 2, 'is in quotes'],
    ['---\nlayout: none\nsubject: {{#if a}}\n---\n', 3, 'Expecting'],
    ['---\nsubject: a\n---\n\n{{#if a}}\n', 6, 'Expecting'],
  ])('%j is wrong in line %i', async (file, line, problem) => {
    const fault = await faultOf(engineOf({ 'a.hbs': file }).render('a', {}));
    expect(fault.message).toContain(`a.hbs, line ${line}, is broken: `);
    expect(fault.message).toContain(problem);
  });

  it('may be that of a file from Windows', async () => {
    const file = '\uFEFF---\r\nsubject: A: {{n}}\r\n---\r\nx\r\n';
    expect(await engineOf({ 'a.txt': file }).render('a', { n: 1 })).toEqual({ subject: 'A: 1', text: 'x\n' });
  });
});

describe('preload', () => {
  it('lists all that is missing or broken', async () => {
    const engine = engineOf({
      'broken.hbs': '{{#if}',
      'front.ko.txt': '---\nx\n---',
      'helper.hbs': '{{#if a}}{{date b}}{{/if}} {{name}}',
      'inline.hbs': '{{#*inline "mine"}}x{{/inline}}{{> own}}{{#> absent}}fallback{{/absent}}{{> (lookup . "a")}}',
      'lay.hbs': '---\nsubject: {{upper a}}\nlayout: absent\n---\n',
      'part.txt': '{{> own}}{{> "quoted"}}',
      'layouts/bad.hbs': '{{/if}}',
      'partials/own.hbs': '{{> mine}}{{> @partial-block}}',
    });
    const fault = await faultOf(engine.preload());
    expect(fault).toBeInstanceOf(MailConfigError);
    const [first, ...lines] = fault.message.split('\n');
    expect(first).toMatch(/^The mail templates in \/.* cannot be used:$/);
    expect(lines.map((line) => line.replaceAll(/\/\S*\/templates-test-[^/]+\//g, ''))).toEqual([
      expect.stringMatching(/^The template broken\.hbs, line 1, is broken: Expecting/),
      'The template front.ko.txt, line 2, is broken: "x" is neither "subject: …" nor "layout: …"',
      'The template helper.hbs uses the helper date, which templates.helpers does not have',
      'The template lay.hbs asks for the layout "absent", which is not in layouts: looked for absent.hbs.',
      'The template lay.hbs uses the helper upper, which templates.helpers does not have',
      expect.stringMatching(/^The template layouts\/bad\.hbs, line 1, is broken/),
      expect.stringMatching(/^The template part\.txt uses the partial own, and there is no own\.txt\.hbs in partials$/),
      'The template part.txt uses the partial quoted, and there is no quoted.txt.hbs in partials',
      expect.stringMatching(/^The template front in .* is there in ko alone: it has no file without a language$/),
    ]);
  });

  it('misses a template in the default language', async () => {
    const files = { 'a.ko.hbs': 'ko', 'a.ko-KR.hbs': 'ko', 'b.fr.hbs': 'fr' };
    const missing =
      /The template b in .* in fr alone: it has no file without a language and none in templates\.defaultLocale$/;
    const fault = await faultOf(engineOf(files, { defaultLocale: 'ko-KR' }).preload());
    expect(fault.message.split('\n').slice(1)).toEqual([expect.stringMatching(missing)]);
  });

  it('is content with what is in order', async () => {
    const engine = engineOf({ 'a.hbs': WELCOME, 'notes.md': '{{#if', '.hidden.hbs': '{{#if', 'a.hbs~': '{{#if' });
    await engine.preload();
  });
});

describe('files that change', () => {
  it('are read again in development', async () => {
    vi.useFakeTimers({ toFake: ['Date'] });
    const dir = templates({ 'a.hbs': '{{> p}}', 'partials/p.hbs': 'old' });
    const engine = new HandlebarsEngine({ dir });
    expect(await engine.render('a', {})).toEqual({ html: 'old' });
    write(dir, { 'partials/p.hbs': 'new', 'b.hbs': 'b' });
    utimesSync(join(dir, 'partials/p.hbs'), 1, 1);
    vi.advanceTimersByTime(1_000);
    expect(await engine.render('a', {})).toEqual({ html: 'new' });
    expect(await engine.render('b', {})).toEqual({ html: 'b' });
  });

  it('are read once in production', async () => {
    vi.useFakeTimers({ toFake: ['Date'] });
    vi.stubEnv('NODE_ENV', 'production');
    const dir = templates({ 'a.hbs': 'old', 'partials/p.hbs': 'old' });
    const engine = new HandlebarsEngine({ dir });
    await engine.render('a', {});
    rmSync(dir, { recursive: true });
    vi.advanceTimersByTime(60_000);
    expect(await engine.render('a', {})).toEqual({ html: 'old' });
  });
});

it('a folder that is not there is named', () => {
  expect(() => new HandlebarsEngine({ dir: 'no/templates' })).toThrow(
    `there is no folder ${join(process.cwd(), 'no/templates')}`,
  );
});

it('what an application registers at the common Handlebars is not seen', async () => {
  const { default: handlebars } = await import('handlebars');
  handlebars.registerPartial('common', 'x');
  const engine = engineOf({ 'a.hbs': '{{> common}}' });
  await expect(engine.render('a', {})).rejects.toThrow('could not be found');
  handlebars.unregisterPartial('common');
});
