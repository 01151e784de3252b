import 'reflect-metadata';
import type { Type } from '@nestjs/common';
import type { ReadableStream } from 'node:stream/web';
import { MailConfigError, type Fault } from '../errors.js';
import { parseAddresses, type Address, type AddressesInput, type AddressInput } from '../message/address.js';
import { LANES, URGENCIES, type AttachmentInput, type Lane, type Urgency } from '../message/message.js';
import { contentFaults } from '../message/parse.js';
import type { UnsubscribeInput } from '../message/unsubscribe.js';

/** What `render()` gets beside the data. */
export interface MailRenderContext {
  /** The `locale` that the mail is sent with, such as `ko` or `en-GB`; of `en_GB` the tag `en-GB`, which `Intl` takes. */
  readonly locale?: string;
  /** Whom it goes to. */
  readonly to: readonly { readonly name?: string; readonly address: string }[];
  /** Where this reader unsubscribes, for the mail's body. Undefined: it is sent without `unsubscribe`. */
  readonly unsubscribeUrl?: string;
}

/** HTML as an object, such as the `html` template of `@nestjs/mail` gives. */
export interface HtmlObject {
  readonly value: string;
  toString(): string;
}

/** An attachment of a mail class; a web stream is read as well. */
export type MailableAttachment = Omit<AttachmentInput, 'content'> & {
  content?: AttachmentInput['content'] | ReadableStream<Uint8Array>;
};

/** What `render()` returns: nodemailer's field names. With `template`, that makes what is not given here. */
export interface MailableContent {
  subject?: string;
  html?: string | HtmlObject;
  /** Default: made from the HTML. */
  text?: string;
  /** The name of a template of the module's `templates`. */
  template?: string;
  /** The template's values. They are not stored, so they may be anything. */
  context?: object;
  /** Goes before the class's and the module's. */
  from?: AddressInput;
  replyTo?: AddressesInput;
  headers?: Record<string, string | readonly string[]>;
  attachments?: readonly MailableAttachment[];
}

/**
 * A mail class: a provider that makes a mail from data. It has the shape of the one of `@nestjs/mail`, and may inject whatever
 * it needs.
 *
 * ```ts
 * @Mail({ name: 'welcome' })
 * export class WelcomeMail implements Mailable<{ name: string }> {
 *   render({ name }: { name: string }) {
 *     return { subject: `Welcome, ${name}`, html: `<p>Hello ${escape(name)}</p>` };
 *   }
 * }
 * ```
 */
export interface Mailable<T = void> {
  /**
   * Called where the mail is sent: in `send()` on the priority lane, in the worker on the bulk lane, for each message and again
   * for each further try. What it throws fails this message for good, unless it is a `MailError` that is not `permanent`.
   *
   * @param data as it was sent, after JSON; frozen, since other mails may share it
   */
  render(data: T, context: MailRenderContext): MailableContent | Promise<MailableContent>;
}

/** What holds for all mails of a class. What `render()` returns goes before it, and what `send()` is given before that. */
export interface MailClassOptions {
  /**
   * How queued mail knows its class: it survives minifying and renaming, and must not change while mail of it is queued. Letters,
   * digits and `. _ - / :`, at most 100.
   */
  name: string;
  /** Default: as for any other message. */
  lane?: Lane;
  /** The order inside the bulk lane. */
  urgency?: Urgency;
  /** Forces one transport by name. */
  transport?: string;
  /** Default: the module's. */
  from?: AddressInput;
  replyTo?: AddressesInput;
  headers?: Record<string, string | readonly string[]>;
  /** Default: readers cannot unsubscribe by their mail program. */
  unsubscribe?: UnsubscribeInput;
}

/** A class's `@Mail`, checked. */
export interface MailClass extends Omit<MailClassOptions, 'from'> {
  from?: Address;
}

const OPTIONS = Symbol('nestjs-priority-mail:mail');
const NAME = /^[A-Za-z0-9][\w./:-]{0,99}$/;

/**
 * Makes a provider a mail class, for `send(WelcomeMail, { to, data })` and `sendBulk(WelcomeMail, { recipients })`.
 *
 * ```ts
 * @Mail({ name: 'new-post', lane: 'bulk' })
 * ```
 *
 * @throws MailConfigError an option is wrong; the class cannot be loaded then
 */
export function Mail(options: MailClassOptions): (type: Type<Mailable<never>>) => void {
  return (type) => {
    const faults = faultsIn(options);
    if (typeof (type.prototype as Partial<Mailable> | undefined)?.render !== 'function') {
      faults.push({ path: 'render()', message: 'is missing: the class makes its mails there' });
    }
    if (faults.length > 0) {
      const told = faults.map(({ path, message }) => `${path} ${message}`).join('; ');
      throw new MailConfigError(`@Mail of ${type.name} is wrong: ${told}`);
    }
    const { from, ...rest } = options;
    const [sender] = parseAddresses(from, 'from').addresses;
    Reflect.defineMetadata(OPTIONS, { ...rest, ...(sender ? { from: sender } : {}) } satisfies MailClass, type);
  };
}

/** Its own `@Mail`: one that a class inherits is another class's. */
export function mailClassOf(type: unknown): MailClass | undefined {
  return typeof type === 'function' ? (Reflect.getOwnMetadata(OPTIONS, type) as MailClass | undefined) : undefined;
}

function faultsIn(options: MailClassOptions): Fault[] {
  if (typeof options !== 'object' || options === null) {
    return [{ path: 'its argument', message: "must be an object such as { name: 'welcome' }" }];
  }
  const { name, lane, urgency, transport, from, replyTo, headers, unsubscribe, ...unknown } = options;
  const fault = (path: string, wrong: boolean, message: string): Fault[] => (wrong ? [{ path, message }] : []);
  const isOneOf = (value: unknown, all: readonly unknown[]): boolean => value === undefined || all.includes(value);
  const isName = (value: unknown): boolean => typeof value === 'string' && value !== '' && value.length <= 100;
  return [
    ...fault('name', typeof name !== 'string' || !NAME.test(name), 'must be 1 to 100 letters, digits and . _ - / :'),
    ...fault('lane', !isOneOf(lane, LANES), `must be one of ${LANES.join(', ')}`),
    ...fault('urgency', !isOneOf(urgency, URGENCIES), `must be one of ${URGENCIES.join(', ')}`),
    ...fault('transport', transport !== undefined && !isName(transport), 'must be the name of a transport'),
    ...contentFaults({ from, replyTo, headers, unsubscribe }),
    ...Object.keys(unknown).map((path) => ({ path, message: 'is not a known option' })),
  ];
}
