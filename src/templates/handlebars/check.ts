import { reasonOf } from '../../errors.js';
import { localeChain } from '../locale.js';
import type { Library } from './library.js';

/** What of a program's places needs something else to be there. */
interface References {
  partials: string[];
  /** Partials that it defines itself. */
  inline: string[];
  helpers: string[];
}

/** What is missing or broken in all files of a library, sorted by file. */
export async function faultsOf(library: Library): Promise<string[]> {
  const { handlebars, defaultLocale } = library.options;
  const faults: string[] = [];
  const attempt = async <T>(act: () => T | Promise<T>): Promise<T | undefined> => {
    try {
      return await act();
    } catch (error) {
      faults.push(reasonOf(error));
      return undefined;
    }
  };

  const { templates, layouts, partials } = library.shelves;
  const programs = [];
  for (const { path, format, locale } of templates.all()) {
    const locales = localeChain(locale, defaultLocale);
    const page = await attempt(() => library.page(path, format));
    if (!page) continue;
    await attempt(() => library.layoutOf(page, format, locales));
    const parts = [
      { compiled: page.body, format },
      ...(page.subject ? [{ compiled: page.subject, format: 'text' as const }] : []),
    ];
    for (const part of parts) {
      const program = await attempt(() => part.compiled.compile());
      if (program) programs.push({ path, format: part.format, locales, ...referencesOf(program) });
    }
  }
  for (const { path, format, locale } of [...layouts.all(), ...partials.all()]) {
    const program = await attempt(async () => (await library.part(path, format)).compile());
    if (program) programs.push({ path, format, locales: localeChain(locale, defaultLocale), ...referencesOf(program) });
  }

  // A layout may use a partial that the template defines in it.
  const inline = new Set(programs.flatMap((program) => program.inline));
  for (const { path, format, locales, ...used } of programs) {
    for (const name of used.partials) {
      if (inline.has(name) || partials.find(name, format, locales) !== undefined) continue;
      const [looked = ''] = partials.candidates(name, format, [undefined]);
      faults.push(`The template ${path} uses the partial ${name}, and there is no ${looked} in ${partials.dir}`);
    }
    for (const name of used.helpers) {
      if (handlebars.helpers[name]) continue;
      faults.push(`The template ${path} uses the helper ${name}, which templates.helpers does not have`);
    }
  }
  return faults.sort();
}

function referencesOf(program: hbs.AST.Program): References {
  const found: References = { partials: [], inline: [], helpers: [] };
  for (const node of nodesIn(program)) {
    switch (node.type) {
      case 'PartialStatement': {
        const { name } = node as hbs.AST.PartialStatement;
        // The name of a dynamic partial is known when it is rendered.
        if (name.type === 'PathExpression' && !(name as hbs.AST.PathExpression).data)
          found.partials.push(name.original as string);
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
        const { type: kind, data, depth, parts } = path as hbs.AST.PathExpression;
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
