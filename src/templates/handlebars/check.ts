import { reasonOf } from '../../errors.js';
import { localeChain } from '../locale.js';
import type { Compiled } from './compiled.js';
import type { Format } from './files.js';
import type { Library } from './library.js';

/** What of a program's places needs something else to be there. */
interface References {
  partials: string[];
  /** Partials that it defines itself. */
  inline: string[];
  helpers: string[];
}

/** A file that was compiled, and what it needs. */
interface Checked extends References {
  path: string;
  format: Format;
  locales: (string | undefined)[];
}

/** What is missing or broken in all files of a library, sorted by file. */
export async function faultsOf(library: Library): Promise<string[]> {
  const faults: string[] = [];
  const files = await compileAll(library, (error) => faults.push(reasonOf(error)));
  const missing = files.flatMap((file) => missingIn(file, files, library));
  return [...faults, ...missing, ...withoutDefault(library)].sort();
}

/** Mails in a language that a template does not have, and mails that name none, are to be made all the same. */
function withoutDefault({ shelves: { templates }, options }: Library): string[] {
  const locales = localeChain(undefined, options.defaultLocale);
  const isThere = (name: string): boolean =>
    (['html', 'text'] as const).some((format) => templates.find(name, format, locales) !== undefined);
  const wanted = options.defaultLocale === undefined ? '' : ` and none in templates.defaultLocale`;
  return templates
    .names()
    .filter((name) => !isThere(name))
    .map((name) => {
      const there = templates.languagesOf(name).join(', ');
      return `The template ${name} in ${templates.dir} is there in ${there} alone: it has no file without a language${wanted}`;
    });
}

async function compileAll(library: Library, onFault: (error: unknown) => void): Promise<Checked[]> {
  const checked: Checked[] = [];
  const attempt = async (act: () => Promise<void>): Promise<void> => act().catch(onFault);
  const check = (part: Compiled, file: Omit<Checked, keyof References>): Promise<void> =>
    attempt(async () => void checked.push({ ...file, ...referencesOf(part.compile()) }));

  const { templates, layouts, partials } = library.shelves;
  const localesOf = (locale?: string) => localeChain(locale, library.options.defaultLocale);
  for (const { path, format, locale } of templates.all()) {
    const locales = localesOf(locale);
    await attempt(async () => {
      const page = await library.page(path, format);
      if (page.subject) await check(page.subject, { path, format: 'text', locales });
      await check(page.body, { path, format, locales });
      await library.layoutOf(page, format, locales);
    });
  }
  for (const { path, format, locale } of [...layouts.all(), ...partials.all()]) {
    await attempt(async () => check(await library.part(path, format), { path, format, locales: localesOf(locale) }));
  }
  return checked;
}

function missingIn(file: Checked, all: readonly Checked[], { shelves, options }: Library): string[] {
  const { path, format, locales } = file;
  // A layout may use a partial that the template in it defines.
  const isInline = (name: string): boolean => all.some(({ inline }) => inline.includes(name));
  const partials = file.partials.filter(
    (name) => !isInline(name) && shelves.partials.find(name, format, locales) === undefined,
  );
  const helpers = file.helpers.filter((name) => !options.handlebars.helpers[name]);
  return [
    ...partials.map((name) => {
      const [looked = ''] = shelves.partials.candidates(name, format, [undefined]);
      return `The template ${path} uses the partial ${name}, and there is no ${looked} in ${shelves.partials.dir}`;
    }),
    ...helpers.map((name) => `The template ${path} uses the helper ${name}, which templates.helpers does not have`),
  ];
}

function referencesOf(program: hbs.AST.Program): References {
  const found: References = { partials: [], inline: [], helpers: [] };
  for (const node of nodesIn(program)) {
    switch (node.type) {
      case 'PartialStatement': {
        // The types do not know of a quoted name.
        const name: hbs.AST.Expression = (node as hbs.AST.PartialStatement).name;
        // The name of a dynamic partial is known when it is rendered.
        if (name.type === 'StringLiteral') found.partials.push((name as hbs.AST.StringLiteral).value);
        if (name.type === 'PathExpression' && !(name as hbs.AST.PathExpression).data) {
          found.partials.push((name as hbs.AST.PathExpression).original);
        }
        break;
      }
      case 'DecoratorBlock': {
        const [name] = (node as hbs.AST.DecoratorBlock).params;
        if (name?.type === 'StringLiteral') found.inline.push((name as hbs.AST.StringLiteral).value);
        break;
      }
      case 'MustacheStatement':
      case 'BlockStatement':
      case 'SubExpression': {
        const { path, params, hash, type } = node as hbs.AST.SubExpression;
        // Without arguments it may be a value.
        if (type !== 'SubExpression' && params.length === 0 && !hash) break;
        const { type: kind, data, depth, parts } = path;
        if (kind === 'PathExpression' && !data && depth === 0 && parts.length === 1) found.helpers.push(parts[0]!);
        break;
      }
    }
  }
  return found;
}

function* nodesIn(value: unknown): Iterable<hbs.AST.Node> {
  if (typeof value !== 'object' || value === null) return;
  if (typeof (value as Partial<hbs.AST.Node>).type === 'string') yield value as hbs.AST.Node;
  for (const inner of Object.values(value)) yield* nodesIn(inner);
}
