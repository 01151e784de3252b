import type { Type } from '@nestjs/common';
import type { DiscoveryService } from '@nestjs/core';
import { STATIC_CONTEXT } from '@nestjs/core/injector/constants.js';
import { MailConfigError } from '../errors.js';
import type { Address } from '../message/address.js';
import type { Lane, MailUse } from '../message/message.js';
import { mailClassOf, type Mailable, type MailClass } from './mail-class.js';
import { withoutNothing } from './without-nothing.js';

/** A mail class that some module provides. */
export interface KnownMail extends MailClass {
  instance: Mailable<unknown>;
}

/** A mail class in use: what its messages are rendered from, and what it says about them. */
export interface MailClassUse extends MailUse {
  lane?: Lane;
  from?: Address;
}

/** The providers with `@Mail` of the whole application, by class and by name. */
export class Mailables {
  private found: ReadonlyMap<Type, KnownMail> = new Map();
  private isInitialised = false;

  constructor(private readonly discovery: Pick<DiscoveryService, 'getProviders'>) {}

  /**
   * Once all providers are made. Who sends earlier finds what is made by then, and later also what a module that is loaded lazily
   * provides.
   *
   * @throws MailConfigError two classes share a name, or one cannot be rendered in a worker
   */
  discover(): void {
    this.isInitialised = true;
    this.found = this.collect();
  }

  /** @throws MailConfigError what to do, where it is none or nobody provides it */
  of(type: Type): KnownMail {
    const { name } = type;
    if (!mailClassOf(type)) {
      throw new MailConfigError(`${name} is no mail class. Decorate it with @Mail({ name: '…' }).`);
    }
    const known = this.found.get(type) ?? this.again().get(type);
    if (known) return known;
    const isProvided = this.discovery.getProviders().some(({ token }) => token === type);
    throw new MailConfigError(
      isProvided
        ? `The mail class ${name} is not made yet: the application is still starting. Inject it where it is sent, or send from onModuleInit() on.`
        : `The mail class ${name} is not provided in any module. Add it to the providers of one.`,
    );
  }

  /**
   * What a class is sent with, as the message and the class that makes it.
   *
   * @throws MailConfigError
   */
  use<Input extends object>(
    type: Type<Mailable<never>>,
    options: Input & { data?: unknown },
  ): { input: Omit<Input, 'data'>; mail: MailClassUse } {
    const { name, lane, urgency, transport, from, unsubscribe } = this.of(type);
    const { data, ...input } = options ?? {};
    return {
      input: {
        ...(urgency === undefined ? {} : { urgency }),
        ...(transport === undefined ? {} : { transport }),
        ...(unsubscribe === undefined ? {} : { unsubscribe }),
        ...withoutNothing(input),
      } as Omit<Input, 'data'>,
      mail: { name, data, ...(lane === undefined ? {} : { lane }), ...(from === undefined ? {} : { from }) },
    };
  }

  named(name: string): KnownMail | undefined {
    const isNamed = (known: KnownMail): boolean => known.name === name;
    return [...this.found.values()].find(isNamed) ?? [...this.again().values()].find(isNamed);
  }

  private again(): ReadonlyMap<Type, KnownMail> {
    return (this.found = this.collect());
  }

  private collect(): Map<Type, KnownMail> {
    const found = new Map<Type, KnownMail>();
    for (const wrapper of this.discovery.getProviders()) {
      // What stands under the class's own token stands for it, such as a test's stub.
      const candidates: unknown[] = [wrapper.token, wrapper.metatype, classOf(wrapper.instance)];
      const type = candidates.find((candidate) => mailClassOf(candidate) !== undefined) as Type | undefined;
      if (!type || found.has(type)) continue;
      // Until a class is made, Nest has an object without its dependencies in its place.
      const isMade = wrapper.getInstanceByContextId(STATIC_CONTEXT).isResolved === true;
      if (!isMade && !this.isInitialised) continue;
      if (!wrapper.isDependencyTreeStatic() || wrapper.isTransient) {
        throw new MailConfigError(
          `The mail class ${type.name} is request-scoped or transient, or needs what is. A worker has no request: give it the default scope.`,
        );
      }
      if (!isMade) continue;
      const mail = mailClassOf(type)!;
      const other = [...found].find(([, { name }]) => name === mail.name);
      if (other) {
        throw new MailConfigError(
          `Two mail classes are named ${JSON.stringify(mail.name)}: ${other[0].name} and ${type.name}. Give each a name of its own in @Mail({ name }).`,
        );
      }
      found.set(type, { ...mail, instance: wrapper.instance as Mailable<unknown> });
    }
    return found;
  }
}

function classOf(instance: unknown): unknown {
  return typeof instance === 'object' && instance !== null ? instance.constructor : undefined;
}
