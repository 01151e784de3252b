import { getQueueToken } from '@nestjs/bullmq';
import type { Queue } from 'bullmq';
import type { FactoryProvider, InjectionToken } from '@nestjs/common';
import type { MailEngine } from './mail-engine.js';

/**
 * The mail queue under `@nestjs/bullmq`'s token, for `@InjectQueue` and dashboards. `BullModule.registerQueue` would build
 * Redis classes only.
 */
export function queueProvider(queueName: string, engine: InjectionToken): FactoryProvider<Queue | undefined> {
  return {
    provide: getQueueToken(queueName),
    inject: [engine],
    useFactory: ({ mailer }: MailEngine) => mailer.queue?.bullQueue,
  };
}
