import type { TemplateEngine } from '../../templates/engine.js';
import { HandlebarsEngine } from '../../templates/handlebars/engine.js';
import type { TemplateHelper } from '../../templates/handlebars/options.js';
import { DEFAULTS } from './defaults.js';
import { fail, type OptionReader } from './reader.js';

/** What renders templates. */
export interface TemplateSettings {
  engine: TemplateEngine;
  /** A missing or broken template stops the boot. */
  preload: boolean;
}

/** Undefined without `templates`. @throws MailConfigError also when their folder is not there */
export function parseTemplates(parent: OptionReader): TemplateSettings | undefined {
  if (parent.raw('templates') === undefined) return undefined;
  const reader = parent.section('templates');
  const preload = reader.boolean('preload', DEFAULTS.templates.preload);
  const own = reader.raw('engine');
  const engine = own === undefined ? parseHandlebars(reader) : checkEngine(own, reader.pathOf('engine'));
  reader.end();
  if (preload && !engine.preload) {
    fail(reader.pathOf('preload'), preload, 'The engine in templates.engine has no preload(); give it one.');
  }
  return { engine, preload };
}

/** An application's own engine: what is missing would show at the first mail. */
function checkEngine(engine: unknown, path: string): TemplateEngine {
  const { render, has, preload } = (engine ?? {}) as Partial<TemplateEngine>;
  if (typeof render !== 'function') fail(path, engine, 'Give an object with render(name, context, { locale }).');
  for (const [name, method] of Object.entries({ has, preload })) {
    if (method !== undefined && typeof method !== 'function') fail(`${path}.${name}`, method, 'Give a function.');
  }
  return engine as TemplateEngine;
}

function parseHandlebars(reader: OptionReader): HandlebarsEngine {
  const { strict, partials, layouts } = DEFAULTS.templates;
  const dir = reader.string('dir');
  if (dir === undefined) fail(reader.pathOf('dir'), dir, 'Give the folder of the templates, or an engine of your own.');
  const layout = reader.string('layout');
  const defaultLocale = reader.string('defaultLocale');
  const reload = reader.raw('reload') === undefined ? undefined : reader.boolean('reload', false);
  return new HandlebarsEngine({
    dir,
    helpers: parseHelpers(reader.raw('helpers'), reader.pathOf('helpers')),
    strict: reader.boolean('strict', strict),
    partials: reader.string('partials') ?? partials,
    layouts: reader.string('layouts') ?? layouts,
    ...(layout === undefined ? {} : { layout }),
    ...(defaultLocale === undefined ? {} : { defaultLocale }),
    ...(reload === undefined ? {} : { reload }),
  });
}

function parseHelpers(helpers: unknown, path: string): Record<string, TemplateHelper> {
  if (helpers === undefined) return {};
  if (typeof helpers !== 'object' || helpers === null || Array.isArray(helpers)) {
    fail(path, helpers, 'Give an object of functions.');
  }
  for (const [name, helper] of Object.entries(helpers)) {
    if (typeof helper !== 'function') fail(`${path}.${name}`, helper, 'Give a function.');
  }
  return helpers as Record<string, TemplateHelper>;
}
