import { Injectable, type OnModuleInit } from '@nestjs/common';
import { DiscoveryService, MetadataScanner } from '@nestjs/core';
import type { MailEmitter } from '../events/emitter.js';
import type { MailEventName, MailEvents } from '../events/events.js';

const LISTENS = Symbol('nestjs-priority-mail:listens');

interface Listening {
  event: MailEventName;
  mailer?: string;
}

export interface OnMailOptions {
  /** The name of one of several mailers. Default: all of them. */
  mailer?: string;
}

/**
 * Calls the method of a provider or controller when something has happened to mail. What it throws is logged and harms
 * nothing; nobody waits for the promise it returns. Not for request-scoped providers, of which there is none to call.
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
    for (const wrapper of [...this.discovery.getProviders(), ...this.discovery.getControllers()]) {
      const instance = wrapper.instance as Record<string, (event: unknown) => unknown> | undefined | null;
      if (!instance || typeof instance !== 'object' || !wrapper.isDependencyTreeStatic()) continue;
      const prototype = Object.getPrototypeOf(instance) as object | null;
      if (!prototype) continue;
      for (const name of this.scanner.getAllMethodNames(prototype)) this.listen(instance, name);
    }
  }

  private listen(instance: Record<string, (event: unknown) => unknown>, method: string): void {
    const listening = (Reflect.getMetadata(LISTENS, instance[method]!) ?? []) as Listening[];
    for (const { event, mailer } of listening) {
      if (mailer === undefined || mailer === this.name) this.events.on(event, (what) => instance[method]!(what));
    }
  }
}
