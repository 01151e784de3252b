/** What a template became: of `html` and `text` at least one. */
export interface RenderedTemplate {
  /** One line. Default: the message's own `subject`. */
  subject?: string;
  html?: string;
  /** Default: made from `html`. */
  text?: string;
}

/**
 * Makes mails of named templates. Any library is one in a few lines. Options of the library go apart from the data, which else may
 * bring some:
 *
 * ```ts
 * const engine: TemplateEngine = {
 *   render: async (name, context) => ({ html: await ejs.renderFile(`templates/${name}.ejs`, context, {}) }),
 * };
 * ```
 */
export interface TemplateEngine {
  /**
   * Called where the mail is sent: in `send()` on the priority lane, in the worker on the bulk lane, for each message. What it
   * throws fails the message for good, unless it is a `MailError` that is not `permanent`. It has 30 s.
   *
   * @param name as the message gives it: not yet known to be a template's
   * @param context the message's data: untrusted, and never template source. What is in its fields is frozen
   * @param options.locale of the recipient, such as `ko-KR`, also where the message says `ko_KR`
   */
  render(
    name: string,
    context: Record<string, unknown>,
    options: { locale?: string },
  ): RenderedTemplate | Promise<RenderedTemplate>;
  /** Whether there is such a template. Without it, that is assumed. */
  has?(name: string): boolean | Promise<boolean>;
  /** Reads and compiles all templates. Called at boot with `templates.preload`. @throws what is missing or broken */
  preload?(): void | Promise<void>;
}
