import { expect } from 'vitest';
import { MailDeliveryError } from '../../src/errors.js';
import type { MailEngine } from '../../src/nest/mail-engine.js';
import { MailHealthIndicator, type TransportHealth } from '../../src/nest/mail-health.js';
import type { MailService } from '../../src/nest/mail.service.js';
import type { MailModuleOptions, SmtpTransportConfig } from '../../src/nest/options/types.js';
import { startMail, type MailApp } from '../support/app.js';
import { MIDDLE } from './faults.js';
import { Provider, type ProviderOptions } from './provider.js';

export interface SceneOptions {
  /** Of each transport. */
  transport?: Partial<SmtpTransportConfig>;
  priority?: MailModuleOptions['priority'];
  /** The first provider's; default a well-behaved one. */
  first?: ProviderOptions;
}

/** An application with one or two providers, `first` and `second`, of which the first is the nearest. */
export class Scene {
  /** The transports that were told to be down or up again, such as `first down`. */
  readonly events: string[] = [];

  private constructor(
    readonly app: MailApp,
    readonly first: Provider,
    private readonly others: readonly Provider[],
  ) {
    const { events } = app.context.get<MailEngine>('MailEngine(default)', { strict: false }).mailer;
    events.on('transport-down', ({ transport }) => this.events.push(`${transport} down`));
    events.on('transport-up', ({ transport }) => this.events.push(`${transport} up`));
  }

  static async start(count: 1 | 2, { transport, priority = {}, first }: SceneOptions = {}): Promise<Scene> {
    const providers = await Promise.all([Provider.start(first), ...(count === 2 ? [Provider.start()] : [])]);
    const names = ['first', 'second'] as const;
    const app = await startMail({
      queue: false,
      region: 'here',
      priority,
      transports: providers.map(({ config }, index) => ({
        name: names[index]!,
        region: index === 0 ? 'here' : 'there',
        ...config,
        ...transport,
      })),
    });
    return new Scene(app, providers[0], providers.slice(1));
  }

  get second(): Provider {
    return this.others[0]!;
  }

  get mail(): MailService {
    return this.app.mail;
  }

  /** What the circuit breaker thinks of the first one. */
  get circuit(): TransportHealth['circuit'] | undefined {
    return this.app.context.get(MailHealthIndicator).transports()[0]?.circuit;
  }

  /** Through which transport a message with this subject went. */
  async send(subject: string): Promise<string> {
    const receipt = await this.mail.send({ to: 'ann@mail.test', subject, text: `Hello\n${MIDDLE}\nBye` });
    expect(receipt).toMatchObject({ status: 'sent', lane: 'priority', accepted: ['ann@mail.test'], rejected: [] });
    return receipt.status === 'sent' ? receipt.transport : receipt.status;
  }

  /** What the caller of a send that fails gets. */
  async failure(subject: string): Promise<MailDeliveryError> {
    const result: unknown = await this.send(subject).then(
      (transport) => new Error(`It was sent through ${transport}`),
      (error: unknown) => error,
    );
    if (result instanceof MailDeliveryError) return result;
    throw result;
  }

  /**
   * Closes the application and waits for all that it had sent to come in; then compares the copies that each provider
   * holds of each message.
   */
  async end(copies: Record<string, number | [first: number, second: number]>): Promise<void> {
    await this.app.close();
    const providers = [this.first, ...this.others];
    await Promise.all(providers.map((provider) => provider.quiet()));
    for (const [subject, expected] of Object.entries(copies)) {
      const held = providers.map((provider) => provider.copies(subject));
      expect(
        held.map(({ length }) => length),
        `copies of "${subject}"`,
      ).toEqual([expected].flat());
      // Two copies of a message are still the same message.
      expect(new Set(held.flat()).size).toBeLessThanOrEqual(1);
    }
  }
}
