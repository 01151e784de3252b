import { MailError, reasonOf } from '../errors.js';
import { ownParts } from '../message/message.js';
import type { RenderedTemplate, TemplateEngine } from './engine.js';

/**
 * Renders a template, whatever the engine, and looks at what it gave.
 *
 * @throws MailError `TEMPLATE`, permanent; what the engine throws is its cause, unless it is a `MailError` itself
 */
export async function renderTemplate(
  engine: TemplateEngine,
  name: string,
  context: Record<string, unknown>,
  locale?: string,
): Promise<RenderedTemplate> {
  const shown = JSON.stringify(name);
  let result: RenderedTemplate;
  try {
    result = await engine.render(name, context, locale === undefined ? {} : { locale });
  } catch (error) {
    if (error instanceof MailError) throw error;
    throw templateError(`The template ${shown} cannot be rendered: ${reasonOf(error)}`, error);
  }
  const { subject, html, text } = (result ?? {}) as Partial<Record<keyof RenderedTemplate, unknown>>;
  for (const [part, value] of Object.entries({ subject, html, text })) {
    if (value === undefined || typeof value === 'string') continue;
    throw templateError(`The template engine gave the template ${shown} a ${part} that is no string.`);
  }
  if (html === undefined && text === undefined) {
    throw templateError(`The template engine gave the template ${shown} neither html nor text.`);
  }
  return ownParts({ subject, html, text } as RenderedTemplate);
}

/** A template that is missing or broken, or cannot make a mail of this data. */
export function templateError(message: string, cause?: unknown): MailError {
  return new MailError(message, { permanent: true, code: 'TEMPLATE', ...(cause === undefined ? {} : { cause }) });
}
