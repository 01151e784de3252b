import type Handlebars from 'handlebars';
import { readFile } from 'node:fs/promises';
import { MailError, reasonOf } from '../../errors.js';
import type { RenderedTemplate } from '../engine.js';
import { languageTag, localeChain } from '../locale.js';
import { templateError } from '../render.js';
import { Compiled } from './compiled.js';
import type { Format, TemplateFiles } from './files.js';
import { FrontMatterFault, parseSource, type Source } from './front-matter.js';
import { closeNames } from './template-name.js';

/** The files of an engine, as they were when its folders were read. */
export interface Shelves {
  templates: TemplateFiles;
  partials: TemplateFiles;
  layouts: TemplateFiles;
}

export interface LibraryOptions {
  handlebars: typeof Handlebars;
  strict: boolean;
  layout: string | undefined;
  defaultLocale: string | undefined;
}

/** One file, ready to be rendered. */
export interface Page {
  path: string;
  body: Compiled;
  /** Its text is a header: nothing is escaped in it. */
  subject?: Compiled;
  layout?: string;
}

type Locales = readonly (string | undefined)[];
type Data = Record<string, unknown>;

const NO_LAYOUT = 'none';

/** The compiled templates of one state of the folders. A changed file makes another library. */
export class Library {
  private readonly pages = new Map<string, Promise<Page>>();
  private readonly parts = new Map<string, Promise<Page>>();
  private readonly partials = new Map<string, Promise<Record<string, Handlebars.TemplateDelegate>>>();

  constructor(
    readonly shelves: Shelves,
    readonly options: LibraryOptions,
  ) {}

  /** @throws MailError `TEMPLATE` */
  async render(name: string, context: Data, locale: string | undefined): Promise<RenderedTemplate> {
    const locales = localeChain(locale, this.options.defaultLocale);
    const [html, text] = await this.pagesOf(name, locales);
    const asked = locale ?? this.options.defaultLocale;
    const data: Data = { locale: asked === undefined ? undefined : languageTag(asked) };
    const header = html?.subject ?? text?.subject;
    const subject =
      header && oneLine(header.render(context, { data, partials: await this.partialsOf('text', locales) }));
    if (subject !== undefined) data['subject'] = subject;
    return {
      ...(subject === undefined ? {} : { subject }),
      ...(html && { html: await this.laidOut(html, 'html', context, data, locales) }),
      ...(text && { text: await this.laidOut(text, 'text', context, data, locales) }),
    };
  }

  /** Every page of a file, read and parsed once. */
  page(path: string, format: Format): Promise<Page> {
    return once(this.pages, path, () => this.read(path, format, parseSource));
  }

  /** A partial or a layout, which has no front matter. */
  async part(path: string, format: Format): Promise<Compiled> {
    const page = await once(this.parts, path, () => this.read(path, format, (body) => ({ body, skipped: 0 })));
    return page.body;
  }

  /** Both halves come from the best language that has one: a mail is not made in two languages. */
  private pagesOf(name: string, locales: Locales): Promise<[html?: Page, text?: Page]> {
    const { templates } = this.shelves;
    for (const locale of locales) {
      const html = templates.find(name, 'html', [locale]);
      const text = templates.find(name, 'text', [locale]);
      if (html === undefined && text === undefined) continue;
      return Promise.all([html && this.page(html, 'html'), text && this.page(text, 'text')]) as Promise<[Page?, Page?]>;
    }
    const looked = (['html', 'text'] as const).flatMap((format) => templates.candidates(name, format, locales));
    const others = templates.languagesOf(name).join(', ');
    const where =
      others === ''
        ? search(templates, looked, name)
        : `${lookedIn(templates, looked)} It is there in ${others} alone: add one without a language.`;
    throw templateError(`There is no template ${JSON.stringify(name)} in ${where}`);
  }

  private async laidOut(page: Page, format: Format, context: Data, data: Data, locales: Locales): Promise<string> {
    const partials = await this.partialsOf(format, locales);
    const body = page.body.render(context, { data, partials });
    const layout = await this.layoutOf(page, format, locales);
    if (!layout) return body;
    // For {{{body}}}, and for those who know layouts as {{> @partial-block}}.
    const safe = new this.options.handlebars.SafeString(body);
    return layout.render({ ...context, body: safe }, { data: { ...data, 'partial-block': () => body }, partials });
  }

  async layoutOf(page: Page, format: Format, locales: Locales): Promise<Compiled | undefined> {
    const { layouts } = this.shelves;
    const name = page.layout ?? this.options.layout;
    if (name === undefined || name === NO_LAYOUT) return undefined;
    const path = layouts.find(name, format, locales);
    if (path !== undefined) return this.part(path, format);
    if (format === 'text' && page.layout === undefined) return undefined;
    const looked = layouts.candidates(name, format, locales);
    const where = search(layouts, looked, name, format);
    throw templateError(
      `The template ${page.path} asks for the layout ${JSON.stringify(name)}, which is not in ${where}`,
    );
  }

  /** All partials that a file of this format and language can use. Those that are broken fail where they are used. */
  partialsOf(format: Format, locales: Locales): Promise<Record<string, Handlebars.TemplateDelegate>> {
    const { partials } = this.shelves;
    // Of all the languages that mails name, those that make a difference.
    const known = locales.filter((locale) => locale !== undefined && partials.languages.has(locale));
    return once(this.partials, `${format} ${known.join(' ')}`, async () => {
      const entries = partials.names(format).map(async (name) => {
        const path = partials.find(name, format, locales);
        if (path === undefined) return [];
        const part = await this.part(path, format);
        const render: Handlebars.TemplateDelegate = (context, runtime) => part.render(context, runtime ?? {});
        return [[name, render] as const];
      });
      return Object.fromEntries((await Promise.all(entries)).flat());
    });
  }

  private async read(path: string, format: Format, parse: (file: string) => Source): Promise<Page> {
    const { handlebars, strict } = this.options;
    const file = await readFile(path, 'utf8').catch((error: unknown) => {
      const message = `The template ${path} cannot be read: ${reasonOf(error)}`;
      throw new MailError(message, { permanent: false, code: 'TEMPLATE', cause: error });
    });
    try {
      const { subject, beforeSubject = 0, layout, body, skipped } = parse(file);
      const common = { handlebars, path, strict, partialsDir: this.shelves.partials.dir };
      const header = { ...common, skipped: beforeSubject, format: 'text' } as const;
      return {
        path,
        body: new Compiled(body, { ...common, skipped, format }),
        ...(subject === undefined ? {} : { subject: new Compiled(subject, header) }),
        ...(layout === undefined ? {} : { layout }),
      };
    } catch (error) {
      if (!(error instanceof FrontMatterFault)) throw error;
      throw templateError(`The template ${path}, line ${error.line}, is broken: ${error.message}`, error);
    }
  }
}

/** Where was looked for a name, and what may have been meant. */
function search(files: TemplateFiles, looked: readonly string[], name: string, format?: Format): string {
  const close = closeNames(name, files.names(format)).map((one) => JSON.stringify(one));
  const meant = close.length === 0 ? '' : ` Did you mean ${close.join(' or ')}?`;
  return `${lookedIn(files, looked)}${meant}`;
}

function lookedIn({ dir }: TemplateFiles, looked: readonly string[]): string {
  return `${dir}: looked for ${looked.join(', ')}.`;
}

/** Makes a value once for each key; what fails is tried again. */
function once<T>(cache: Map<string, Promise<T>>, key: string, make: () => Promise<T>): Promise<T> {
  const known = cache.get(key);
  if (known) return known;
  const made = make();
  cache.set(key, made);
  made.catch(() => cache.delete(key));
  return made;
}

/** Of a header: line breaks in its values end it, or worse. */
function oneLine(subject: string): string {
  return subject.replace(/[\p{Cc}\s]+/gu, ' ').trim();
}
