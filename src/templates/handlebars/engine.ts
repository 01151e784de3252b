import { statSync } from 'node:fs';
import { resolve } from 'node:path';
import { MailConfigError, MailError, reasonOf } from '../../errors.js';
import type { RenderedTemplate, TemplateEngine } from '../engine.js';
import { faultsOf } from './check.js';
import { openEnvironment } from './environment.js';
import { TemplateFiles } from './files.js';
import { Library, type Shelves } from './library.js';
import { HANDLEBARS_DEFAULTS, type HandlebarsOptions } from './options.js';
import { parseTemplateName } from './template-name.js';

/** With `reload`: the folders are looked at no more often than this. Milliseconds. */
const LOOK_EVERY = 250;

/**
 * Templates of [Handlebars](https://handlebarsjs.com) in a folder: `welcome.hbs` is the HTML, whose values are escaped, and
 * `welcome.txt.hbs` or `welcome.txt` the text. `welcome.ko.hbs` is the same in Korean. The subject, and the layout, stand in
 * front matter:
 *
 * ```handlebars
 * ---
 * subject: Welcome, {{name}}
 * layout: base
 * ---
 * <p>Hello {{name}}!</p>
 * ```
 *
 * Files are read and compiled once, when they are first used. Nothing outside the folders is read.
 */
export class HandlebarsEngine implements TemplateEngine {
  private readonly options: HandlebarsOptions & typeof HANDLEBARS_DEFAULTS & { reload: boolean };
  private library: Promise<Library> | undefined;
  private lookedAt = 0;

  /** @throws MailConfigError when there is no such folder */
  constructor(options: HandlebarsOptions) {
    const reload = options.reload ?? process.env['NODE_ENV'] !== 'production';
    this.options = { ...HANDLEBARS_DEFAULTS, ...options, dir: resolve(options.dir), reload } as typeof this.options;
    if (statSync(this.options.dir, { throwIfNoEntry: false })?.isDirectory()) return;
    throw new MailConfigError(
      `The mail option templates.dir is ${JSON.stringify(options.dir)}, and there is no folder ${this.options.dir}. ` +
        'Where it is missing in a build, copy it there: list it under "assets" in nest-cli.json.',
    );
  }

  /**
   * @throws MailError `TEMPLATE` when the template is missing, which names where it was looked for, or broken, which names the
   *   file and the line
   * @throws MailConfigError when Handlebars is not installed
   */
  async render(
    name: string,
    context: Record<string, unknown>,
    { locale }: { locale?: string } = {},
  ): Promise<RenderedTemplate> {
    const path = parseTemplateName(name);
    const library = await this.current();
    return library.render(path, context, locale);
  }

  async has(name: string): Promise<boolean> {
    const path = parseTemplateName(name);
    const { shelves } = await this.current();
    return shelves.templates.has(path);
  }

  /** Reads and compiles everything. @throws MailConfigError with all that is missing or broken */
  async preload(): Promise<void> {
    const faults = await faultsOf(await this.current());
    if (faults.length === 0) return;
    throw new MailConfigError(`The mail templates in ${this.options.dir} cannot be used:\n${faults.join('\n')}`);
  }

  private async current(): Promise<Library> {
    if (!this.library) return this.open();
    if (!this.options.reload || Date.now() - this.lookedAt < LOOK_EVERY) return this.library;
    this.lookedAt = Date.now();
    const library = await this.library;
    const shelves = await this.readShelves();
    if (stampOf(shelves) === stampOf(library.shelves)) return library;
    this.library = Promise.resolve(new Library(shelves, library.options));
    return this.library;
  }

  private open(): Promise<Library> {
    this.lookedAt = Date.now();
    const { helpers = {}, strict, layout, defaultLocale } = this.options;
    const library = Promise.all([openEnvironment(helpers), this.readShelves()]).then(
      ([handlebars, shelves]) => new Library(shelves, { handlebars, strict, layout, defaultLocale }),
    );
    this.library = library;
    library.catch(() => (this.library = undefined));
    return library;
  }

  private async readShelves(): Promise<Shelves> {
    const { dir } = this.options;
    const partials = resolve(dir, this.options.partials);
    const layouts = resolve(dir, this.options.layouts);
    const optional = (folder: string): Promise<TemplateFiles> =>
      TemplateFiles.read(folder).catch((error: unknown) => {
        if ((error as NodeJS.ErrnoException).code === 'ENOENT') return TemplateFiles.none(folder);
        throw error;
      });
    try {
      return {
        templates: await TemplateFiles.read(
          dir,
          [partials, layouts].filter((folder) => folder !== dir),
        ),
        partials: await optional(partials),
        layouts: await optional(layouts),
      };
    } catch (error) {
      const message = `The mail templates in ${dir} cannot be read: ${reasonOf(error)}`;
      throw new MailError(message, { permanent: false, code: 'TEMPLATE', cause: error });
    }
  }
}

function stampOf({ templates, partials, layouts }: Shelves): string {
  return [templates.stamp, partials.stamp, layouts.stamp].join('\n\n');
}
