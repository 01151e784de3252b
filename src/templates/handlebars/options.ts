/** Called as Handlebars does: with the arguments of the place, and then its own options. Not asynchronous. */
export type TemplateHelper = (this: unknown, ...args: never[]) => unknown;

/** Where the templates of a `HandlebarsEngine` are, and what they can use. */
export interface HandlebarsOptions {
  /** The folder of the templates, absolute or below the working directory. */
  dir: string;
  /** The layout of templates that name none. A text that has none of this name goes without. Default: none. */
  layout?: string;
  /** Functions for templates, by name. */
  helpers?: Readonly<Record<string, TemplateHelper>>;
  /** The language of mails that name none, or one that is not there. Default: none, the files without a language. */
  defaultLocale?: string;
  /** A value that is missing fails the mail, instead of leaving its place empty. Default false. */
  strict?: boolean;
  /** The folder of the partials, absolute or below `dir`. Default `'partials'`. */
  partials?: string;
  /** The folder of the layouts, absolute or below `dir`. Default `'layouts'`. */
  layouts?: string;
  /** Reads files again when they have changed. Default: unless `NODE_ENV` is `production`. */
  reload?: boolean;
}

export const HANDLEBARS_DEFAULTS = { strict: false, partials: 'partials', layouts: 'layouts' } as const;
