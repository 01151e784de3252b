import { MailError, MailValidationError, reasonOf } from '../errors.js';
import type { UnsubscribeLink, UnsubscribeLinks } from '../feedback/unsubscribe-links.js';
import { envelopeRecipients, type Message, type Rendering, type Source, type Travel } from '../message/message.js';
import type { MessageRules } from '../message/parse.js';
import { frozen } from '../message/data.js';
import { parseRendered, type RenderedContent } from '../message/rendered.js';
import { oneLine } from '../message/text.js';
import { plainTextOf } from '../templates/plain-text.js';
import type { Draft, Interception } from './interception.js';
import type { Renderer } from './renderer.js';
import { answered, LateAnswer } from './time-limit.js';

/** What happens to a message right before it is encoded, in both lanes. */
export class Preparation {
  constructor(
    private readonly renderer: Renderer,
    private readonly rules: MessageRules,
    private readonly interception?: Interception,
    /** Undefined: there is no secret to make them with. */
    readonly links?: UnsubscribeLinks,
  ) {}

  /** Why nothing can be made from this source here. Undefined: it can. */
  missing(source: Source): string | undefined | Promise<string | undefined> {
    return this.renderer.missing(source);
  }

  /** The message with its recipient's link, where it is to have one. */
  linked(message: Message & Travel, id: string): Message & Travel {
    const { unsubscribe } = message;
    const [address] = envelopeRecipients(message);
    if (!unsubscribe || !this.links || address === undefined) return message;
    return withLink(message, this.links.of(unsubscribe, { address, id, date: Date.now() }));
  }

  /** Whether it can be anything else afterwards than it is. */
  changes({ rendering }: Pick<Message, 'rendering'>): boolean {
    return rendering !== undefined || this.interception !== undefined;
  }

  /**
   * The message as it is to be encoded. Fields that stayed the same are the very same objects.
   *
   * @throws MailError (`RENDER`) it cannot be rendered, or what was rendered is no valid mail
   * @throws Veto | InterceptorError as `Interception` does
   */
  async prepare(draft: Draft): Promise<Message> {
    const { rendering, ...rest } = draft.message;
    const message = rendering ? await this.render(draft.id, rest, rendering) : draft.message;
    if (!this.interception) return message;
    return this.interception.intercept({ ...draft, message, ...(rendering ? { source: rendering.source } : {}) });
  }

  private async render(
    id: string,
    message: Message,
    { source, context, ownSender, ...others }: Rendering,
  ): Promise<Message> {
    try {
      // Messages of a batch share it, and further tries of one.
      const request = { source, context: frozen(context), to: message.to, ...others };
      const rules = { ...this.rules, from: message.from };
      const rendering = this.renderer.render(request).then((said) => parseRendered(said, rules));
      const rendered = await answered(rendering);
      return await withText(completed(message, rendered, ownSender === true));
    } catch (error) {
      throw renderError(id, source, error);
    }
  }
}

function withLink<T extends Message>(message: T, { url, headers }: UnsubscribeLink): T {
  const { rendering } = message;
  return {
    ...message,
    headers: [...message.headers, ...headers],
    ...(rendering ? { rendering: { ...rendering, unsubscribeUrl: url } } : {}),
  };
}

/** What the message says itself goes before what was rendered; headers come together, and attachments too. */
function completed(message: Message, { more, ...parts }: RenderedContent, ownSender: boolean): Message {
  const { subject, text, html, ...rest } = message;
  const whole: Message = {
    ...rest,
    ...parts,
    subject: subject || (parts.subject ?? ''),
    ...(text === undefined ? {} : { text }),
    ...(html === undefined ? {} : { html }),
  };
  if (!more) return whole;
  const own = new Set(message.headers.map(([name]) => name.toLowerCase()));
  return {
    ...whole,
    from: ownSender ? message.from : more.from,
    replyTo: message.replyTo.length > 0 ? message.replyTo : more.replyTo,
    headers: [...more.headers.filter(([name]) => !own.has(name.toLowerCase())), ...message.headers],
    attachments: [...more.attachments, ...message.attachments],
  };
}

/** Whoever reads mail without HTML gets its text. */
async function withText(message: Message): Promise<Message> {
  if (message.html === undefined || message.text !== undefined) return message;
  return { ...message, text: await plainTextOf(message.html) };
}

/** Another try makes the same of the same data, unless what was thrown says otherwise. */
function renderError(id: string, { kind, name }: Source, error: unknown): MailError {
  const what = kind === 'mail' ? 'mail class' : 'template';
  const isTold = kind === 'template' && error instanceof MailError && error.code === 'TEMPLATE';
  const message = isTold ? error.message : `The ${what} ${name} could not be rendered: ${oneLine(problemOf(error))}`;
  const permanent = error instanceof MailError ? error.permanent : !(error instanceof LateAnswer);
  return new MailError(message, { permanent, code: 'RENDER', id, cause: error });
}

function problemOf(error: unknown): string {
  if (!(error instanceof MailValidationError)) return reasonOf(error);
  return error.errors.map(({ path, message }) => `${path}: ${message}`).join('; ');
}
