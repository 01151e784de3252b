import { Injectable, type OnModuleInit } from '@nestjs/common';
import { DiscoveryService, MetadataScanner } from '@nestjs/core';
import { MailConfigError } from '../errors.js';
import { mailerCollected } from './collect-mail.js';
import { MailEngine } from './mail-engine.js';

/** Refuses `@CollectMail({ mailer })` with a name that no mailer has, which would collect nothing. */
@Injectable()
export class CollectCheck implements OnModuleInit {
  constructor(
    private readonly discovery: DiscoveryService,
    private readonly scanner: MetadataScanner,
  ) {}

  /** @throws MailConfigError */
  onModuleInit(): void {
    const providers = this.discovery.getProviders();
    const known = new Set(
      providers.flatMap(({ instance }) => (instance instanceof MailEngine ? instance.mailer.collector.mailer : [])),
    );
    for (const { metatype } of [...providers, ...this.discovery.getControllers()]) {
      const prototype = (metatype as { prototype?: unknown } | null)?.prototype;
      if (typeof prototype !== 'object' || prototype === null) continue;
      for (const name of this.scanner.getAllMethodNames(prototype)) {
        const mailer = mailerCollected((prototype as Record<string, object>)[name]!);
        if (mailer === undefined || known.has(mailer)) continue;
        throw new MailConfigError(
          `@CollectMail({ mailer }) of ${(metatype as { name: string }).name}.${name} is ${JSON.stringify(mailer)}. The mailers are ${[...known].join(', ')}.`,
        );
      }
    }
  }
}
