import { Injectable, Logger, type OnModuleInit } from '@nestjs/common';
import { DiscoveryService, MetadataScanner } from '@nestjs/core';
import { MailConfigError } from '../errors.js';
import type { MailEmitter } from '../events/emitter.js';
import { MAIL_EVENT_NAMES, type MailEventName, type MailEvents } from '../events/events.js';
import { outsideCollections } from './collecting.js';

const LISTENS = Symbol('nestjs-priority-mail:listens');

interface Listening extends OnMailOptions {
  event: MailEventName;
}

type Methods = Record<string, (event: unknown, origin: MailEventOrigin) => unknown>;

export interface OnMailOptions {
  /** The name of one of several mailers; `default` for the one without. Default: all of them. */
  mailer?: string;
  /**
   * `all`: also what happens in other processes on the same queue, on Redis or PostgreSQL. They hear of the listener within
   * five seconds. Default `process`: what happens in this one.
   */
  from?: 'process' | 'all';
}

/** Where an event comes from: what a listener gets beside it. */
export interface MailEventOrigin {
  /** The name of the mailer, or `default` for the one without. */
  mailer: string;
}

/**
 * Calls the method of a provider or controller when something has happened to mail. What it throws is logged and harms
 * nothing; nobody waits for the promise it returns. Not for request-scoped and transient providers, of which there is none,
 * or no particular one, to call.
 *
 * ```ts
 * @OnMail('transport-down')
 * alert({ transport, reason }: MailEvents['transport-down']) {}
 * ```
 *
 * @throws MailConfigError there is no such event
 */
export function OnMail<Name extends MailEventName>(
  event: Name,
  options: OnMailOptions = {},
): <T extends (event: MailEvents[Name], origin: MailEventOrigin) => unknown>(
  target: object,
  property: string | symbol,
  descriptor: TypedPropertyDescriptor<T>,
) => void {
  if (!MAIL_EVENT_NAMES.includes(event)) {
    throw new MailConfigError(`@OnMail('${String(event)}') is no event. There are: ${MAIL_EVENT_NAMES.join(', ')}.`);
  }
  return (_target, _property, descriptor) => {
    const method = descriptor.value as object;
    const known = (Reflect.getMetadata(LISTENS, method) ?? []) as Listening[];
    Reflect.defineMetadata(LISTENS, [...known, { event, ...options } satisfies Listening], method);
  };
}

/** Finds the methods with `@OnMail` and lets them listen to one mailer, before anything is sent. */
@Injectable()
export class MailListeners implements OnModuleInit {
  private readonly logger = new Logger('MailModule');

  /** @param mailer its name, or `default` */
  constructor(
    private readonly events: MailEmitter,
    private readonly mailer: string,
    private readonly discovery: DiscoveryService,
    private readonly scanner: MetadataScanner,
  ) {}

  onModuleInit(): void {
    // One provider may stand under several tokens.
    const instances = new Set<unknown>();
    for (const wrapper of [...this.discovery.getProviders(), ...this.discovery.getControllers()]) {
      if (wrapper.isDependencyTreeStatic() && !wrapper.isTransient) instances.add(wrapper.instance);
    }
    const mailers = [...instances].filter((instance) => instance instanceof MailListeners);
    for (const instance of instances) {
      if (typeof instance !== 'object' || instance === null) continue;
      const prototype = Object.getPrototypeOf(instance) as Methods | null;
      if (!prototype) continue;
      for (const method of this.scanner.getAllMethodNames(prototype)) {
        for (const listening of listeningOf(prototype, method)) {
          this.listen(instance as Methods, method, listening);
          // One of them says it for all.
          if (mailers[0] === this) this.warnOf(listening, `${prototype.constructor.name}.${method}()`, mailers);
        }
      }
    }
  }

  private listen(instance: Methods, method: string, { event, mailer = this.mailer, from }: Listening): void {
    if (mailer !== this.mailer) return;
    // What it sends is not the mail of the request in which the event happened to be noticed.
    const call = (what: unknown): unknown => outsideCollections(() => instance[method]!(what, { mailer }));
    if (from === 'all') this.events.onAll(event, call);
    else this.events.on(event, call);
  }

  private warnOf({ event, mailer }: Listening, method: string, mailers: readonly MailListeners[]): void {
    const names = mailers.map((one) => one.mailer);
    if (mailer === undefined || names.includes(mailer)) return;
    this.logger.warn(
      `${method} hears nothing: @OnMail('${event}') names the mailer ${mailer}. There is: ${names.join(', ')}.`,
    );
  }
}

function listeningOf(prototype: Methods, method: string): readonly Listening[] {
  return (Reflect.getMetadata(LISTENS, prototype[method]!) ?? []) as Listening[];
}
