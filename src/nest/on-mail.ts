import { Injectable, type OnModuleInit } from '@nestjs/common';
import { DiscoveryService, MetadataScanner } from '@nestjs/core';
import type { MailEmitter } from '../events/emitter.js';
import type { MailEventName, MailEvents } from '../events/events.js';
import { outsideCollections } from './collecting.js';

const LISTENS = Symbol('nestjs-priority-mail:listens');

interface Listening extends OnMailOptions {
  event: MailEventName;
}

type Methods = Record<string, (event: unknown) => unknown>;

export interface OnMailOptions {
  /** The name of one of several mailers. Default: all of them. */
  mailer?: string;
  /**
   * `all`: also what happens in other processes on the same queue, on Redis or PostgreSQL. They hear of the listener within
   * five seconds. Default `process`: what happens in this one.
   */
  from?: 'process' | 'all';
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
 */
export function OnMail<Name extends MailEventName>(
  event: Name,
  options: OnMailOptions = {},
): <T extends (event: MailEvents[Name]) => unknown>(
  target: object,
  property: string | symbol,
  descriptor: TypedPropertyDescriptor<T>,
) => void {
  return (_target, _property, descriptor) => {
    const method = descriptor.value as object;
    const known = (Reflect.getMetadata(LISTENS, method) ?? []) as Listening[];
    Reflect.defineMetadata(LISTENS, [...known, { event, ...options } satisfies Listening], method);
  };
}

/** Finds the methods with `@OnMail` and lets them listen to one mailer, before anything is sent. */
@Injectable()
export class MailListeners implements OnModuleInit {
  /** @param name of the mailer; undefined for the default one */
  constructor(
    private readonly events: MailEmitter,
    private readonly name: string | undefined,
    private readonly discovery: DiscoveryService,
    private readonly scanner: MetadataScanner,
  ) {}

  onModuleInit(): void {
    // One provider may stand under several tokens.
    const instances = new Set<unknown>();
    for (const wrapper of [...this.discovery.getProviders(), ...this.discovery.getControllers()]) {
      if (wrapper.isDependencyTreeStatic() && !wrapper.isTransient) instances.add(wrapper.instance);
    }
    for (const instance of instances) {
      if (typeof instance !== 'object' || instance === null) continue;
      const prototype = Object.getPrototypeOf(instance) as Methods | null;
      if (!prototype) continue;
      for (const name of this.scanner.getAllMethodNames(prototype)) this.listen(instance as Methods, prototype, name);
    }
  }

  private listen(instance: Methods, prototype: Methods, method: string): void {
    const listening = (Reflect.getMetadata(LISTENS, prototype[method]!) ?? []) as Listening[];
    for (const { event, mailer, from } of listening) {
      if (mailer !== undefined && mailer !== this.name) continue;
      // What it sends is not the mail of the request in which the event happened to be noticed.
      const call = (what: unknown): unknown => outsideCollections(() => instance[method]!(what));
      if (from === 'all') this.events.onAll(event, call);
      else this.events.on(event, call);
    }
  }
}
