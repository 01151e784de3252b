import type { Renderer, RenderRequest } from '../delivery/renderer.js';
import { MailConfigError, MailValidationError, reasonOf } from '../errors.js';
import type { Source } from '../message/message.js';
import { isTemplateName, TEMPLATE_RULE } from '../message/text.js';
import type { TemplateEngine } from '../templates/engine.js';
import { languageTag } from '../templates/locale.js';
import { renderTemplate } from '../templates/render.js';
import type { HtmlObject, MailableContent } from './mail-class.js';
import type { KnownMail, Mailables } from './mailables.js';
import { withoutNothing } from './without-nothing.js';

/** Makes messages by the application's mail classes and templates. */
export class MailRenderer implements Renderer {
  constructor(
    readonly mailables: Mailables,
    private readonly engine: TemplateEngine | undefined,
  ) {}

  /**
   * Finds out early: a name that is misspelt would wait in the queue for a worker that knows it.
   *
   * @throws MailConfigError a template without the option `templates`
   * @throws MailValidationError there is no such template
   */
  async check(source: Source): Promise<void> {
    const { kind, name } = source;
    if (kind === 'mail') return;
    if (!this.engine) throw noTemplates(`The message names the template ${name}`);
    if ((await this.engine.has?.(name)) !== false) return;
    throw new MailValidationError([{ path: 'template', message: await whyMissing(this.engine, name) }]);
  }

  async missing({ kind, name }: Source): Promise<string | undefined> {
    if (kind === 'mail') {
      return this.mailables.named(name) ? undefined : `This process has no mail class with the name ${name}`;
    }
    if (!this.engine) return noTemplates(`The message names the template ${name}`).message;
    try {
      const has = await this.engine.has?.(name);
      return has === false ? `This process has no template with the name ${name}` : undefined;
    } catch (error) {
      return reasonOf(error);
    }
  }

  async render({ source, context, locale: given, to, unsubscribeUrl }: RenderRequest): Promise<object> {
    const locale = given === undefined ? undefined : languageTag(given);
    const link = unsubscribeUrl === undefined ? {} : { unsubscribeUrl };
    // Engines add fields of their own to their values.
    if (source.kind === 'template') return this.template(source.name, { ...(context as object), ...link }, locale);
    const mail = this.mailables.named(source.name);
    if (!mail) throw new MailConfigError(`no module provides a mail class with that name`);
    const recipients = to.map(({ name, address }) => (name === '' ? { address } : { name, address }));
    const about = { ...(locale === undefined ? {} : { locale }), to: recipients, ...link };
    const said = await mail.instance.render(context, about);
    if (typeof said !== 'object' || said === null) {
      throw new TypeError(`render() returned ${said === null ? 'null' : typeof said}; return { subject, html }`);
    }
    return withDefaults(mail, await this.complete(said, locale, link));
  }

  /** What a mail class says, its template rendered. */
  private async complete(
    { template, context, ...said }: MailableContent,
    locale: string | undefined,
    link: { unsubscribeUrl?: string },
  ): Promise<object> {
    const own = withoutNothing({ ...said, html: textOf(said.html) });
    if (template === undefined) return own;
    if (!isTemplateName(template)) throw new TypeError(`template ${TEMPLATE_RULE}`);
    return { ...(await this.template(template, { ...context, ...link }, locale)), ...own };
  }

  private async template(name: string, context: Record<string, unknown>, locale: string | undefined): Promise<object> {
    if (!this.engine) throw noTemplates(`It is made from the template ${name}`);
    return renderTemplate(this.engine, name, context, locale);
  }
}

/** An engine that is asked for what it does not have tells where it looked. */
async function whyMissing(engine: TemplateEngine, name: string): Promise<string> {
  const reason = await renderTemplate(engine, name, {}).then(() => undefined, reasonOf);
  return reason ?? `there is no template ${name}`;
}

function noTemplates(what: string): MailConfigError {
  return new MailConfigError(`${what}, and the mail option templates is not set. Give it the folder: { dir }.`);
}

/** What all mails of the class have, behind what this one says. */
function withDefaults({ replyTo, headers = {} }: KnownMail, said: MailableContent): object {
  const own = new Set(Object.keys(said.headers ?? {}).map((name) => name.toLowerCase()));
  const others = Object.entries(headers).filter(([name]) => !own.has(name.toLowerCase()));
  return {
    ...(replyTo === undefined ? {} : { replyTo }),
    ...said,
    ...(others.length > 0 ? { headers: { ...Object.fromEntries(others), ...said.headers } } : {}),
  };
}

/** HTML that is an object says itself what it is as text. */
function textOf(html: unknown): unknown {
  if (typeof html !== 'object' || html === null || Array.isArray(html)) return html;
  return html.toString === Object.prototype.toString ? html : (html as HtmlObject).toString();
}
