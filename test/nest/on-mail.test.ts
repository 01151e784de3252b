import { Controller, Inject, Injectable, Scope } from '@nestjs/common';
import { describe, expect, it } from 'vitest';
import { reasonOf } from '../../src/errors.js';
import { MailEmitter } from '../../src/events/emitter.js';
import type { MailEvents } from '../../src/events/events.js';
import { getMailToken } from '../../src/nest/inject-mail.js';
import { MailService } from '../../src/nest/mail.service.js';
import { OnMail, type MailEventOrigin } from '../../src/nest/on-mail.js';
import { eventually } from '../support/eventually.js';
import { boot, moduleOf } from './boot.js';
import { fallsDown, logged, mailer, provider } from './falls-down.js';

type Down = MailEvents['transport-down'];
type Up = MailEvents['transport-up'];

describe('@OnMail', () => {
  it('calls providers and controllers of any module when a transport falls down, and when it is up again', async () => {
    const main = await provider('main');
    const heard: [string, Down | Up][] = [];
    class Base {
      @OnMail('transport-down')
      inherited(event: Down): void {
        heard.push(['inherited', event]);
      }
    }
    @Injectable()
    class Alerts extends Base {
      readonly name = 'provider';
      @OnMail('transport-down')
      down(event: Down): void {
        heard.push([this.name, event]);
      }
      @OnMail('transport-up')
      async up(event: Up): Promise<void> {
        heard.push([this.name, event]);
      }
    }
    @Controller('status')
    class Status {
      @OnMail('transport-down')
      @OnMail('transport-up')
      changed(event: Down | Up): void {
        heard.push(['controller', event]);
      }
    }
    const elsewhere = moduleOf({ providers: [Alerts], controllers: [Status] });
    const app = await boot({ imports: [mailer(main), elsewhere] });
    const before = Date.now();
    await fallsDown(main, app.get(MailService));
    expect(heard.map(([who]) => who).sort()).toEqual(['controller', 'inherited', 'provider']);
    for (const [, event] of heard) {
      expect(event).toEqual({
        transport: 'main',
        region: 'eu-west-1',
        reason: expect.stringMatching(/main at connect: .*ECONNREFUSED/) as string,
        retryAt: expect.any(Date) as Date,
      });
      expect((event as Down).retryAt.getTime()).toBeGreaterThan(before);
    }

    heard.length = 0;
    await main.smtp.resume();
    await eventually(() => expect(heard.map(([who]) => who).sort()).toEqual(['controller', 'provider']), {
      within: 20_000,
    });
    for (const [, event] of heard) {
      expect(event).toEqual({ transport: 'main', region: 'eu-west-1', downFor: expect.any(Number) as number });
      expect((event as Up).downFor).toBeLessThanOrEqual(Date.now() - before);
    }
  });

  it('takes methods whose parameter fits the event', () => {
    class Typed {
      @OnMail('transport-down')
      fits({ retryAt }: Pick<Down, 'retryAt'>): number {
        return retryAt.getTime();
      }
      @OnMail('transport-up')
      takesNothing(): void {}
      // @ts-expect-error an event that is up has no reason
      @OnMail('transport-up')
      doesNotFit({ reason }: Down): string {
        return reason;
      }
    }
    expect(Typed.name).toBe('Typed');
    // @ts-expect-error there is no such event
    expect(() => OnMail('transport-sideways')).toThrow(
      /@OnMail\('transport-sideways'\) is no event\. There are: queued, /,
    );
  });

  it('listens to one of several mailers, or to all', async () => {
    const providers = [await provider('plain'), await provider('news'), await provider('alerts')] as const;
    const heard: string[] = [];
    @Injectable()
    class Listener {
      @OnMail('transport-down')
      any({ transport }: Down, { mailer }: MailEventOrigin): void {
        heard.push(`any: ${transport} of ${mailer}`);
      }
      @OnMail('transport-down', { mailer: 'news' })
      @OnMail('transport-down', { mailer: 'alerts' })
      two({ transport }: Down): void {
        heard.push(`two: ${transport}`);
      }
      @OnMail('transport-down', { mailer: 'default' })
      unnamed({ transport }: Down): void {
        heard.push(`unnamed: ${transport}`);
      }
      @OnMail('transport-down', { mailer: 'nobody' })
      none({ transport }: Down): void {
        heard.push(`none: ${transport}`);
      }
    }
    const [plain, news, alerts] = providers;
    const warnings = logged('warn');
    const imports = [mailer(plain), mailer(news, 'news'), mailer(alerts, 'alerts')];
    const app = await boot({ imports, providers: [Listener] });
    await Promise.all([
      fallsDown(plain, app.get(MailService)),
      fallsDown(news, app.get(getMailToken('news'))),
      fallsDown(alerts, app.get(getMailToken('alerts'))),
    ]);
    expect(heard.sort()).toEqual([
      ...['any: alerts of alerts', 'any: news of news', 'any: plain of default'],
      ...['two: alerts', 'two: news', 'unnamed: plain'],
    ]);
    expect(warnings().filter((text) => text.includes('@OnMail'))).toEqual([
      expect.stringMatching(/^Listener\.none\(\) hears nothing: .* the mailer nobody\. There is: .*default/),
    ]);
  });

  it('logs what a listener throws, calls the others, and lets the sender be', async () => {
    const main = await provider('main');
    const errors = logged('error');
    const heard: string[] = [];
    @Injectable()
    class Broken {
      @OnMail('transport-down')
      throws(): void {
        throw new Error('the pager is off');
      }
      @OnMail('transport-down')
      async rejects(): Promise<void> {
        throw new Error('the chat is away');
      }
      @OnMail('transport-down')
      hangs(): Promise<void> {
        return new Promise(() => undefined);
      }
      @OnMail('transport-down')
      works(): void {
        heard.push('works');
      }
    }
    const app = await boot({ imports: [mailer(main)], providers: [Broken] });
    await fallsDown(main, app.get(MailService));
    expect(heard).toEqual(['works']);
    await eventually(() => expect(errors()).toHaveLength(2));
    expect(errors()).toEqual([
      expect.stringMatching(/listener of the mail event transport-down failed: .*the pager is off/),
      expect.stringMatching(/listener of the mail event transport-down failed: .*the chat is away/),
    ]);
    await app.close();
  });

  it('survives what has no text, and a log that fails', async () => {
    const told: string[] = [];
    const events = new MailEmitter('default', (event, reason) => {
      told.push(`${event}: ${reasonOf(reason)}`);
      throw new Error('the log is full');
    });
    events.on('transport-up', () => {
      throw Object.create(null);
    });
    events.emit('transport-up', { transport: 'main', downFor: 1 });
    await eventually(() => expect(told).toEqual(['transport-up: what was thrown has no text']));
  });

  it('calls a provider once that has several tokens, and none that is made for each request or user', async () => {
    const main = await provider('main');
    const heard: string[] = [];
    @Injectable()
    class Known {
      @OnMail('transport-down')
      down(): void {
        heard.push('known');
      }
    }
    @Injectable({ scope: Scope.REQUEST })
    class PerRequest {
      @OnMail('transport-down')
      down(): void {
        heard.push('per request');
      }
    }
    @Injectable()
    class OfRequest {
      constructor(@Inject(PerRequest) readonly perRequest: PerRequest) {}
      @OnMail('transport-down')
      down(): void {
        heard.push('of a request');
      }
    }
    @Injectable({ scope: Scope.TRANSIENT })
    class Transient {
      field = 'transient';
      @OnMail('transport-down')
      down(): void {
        heard.push(this.field);
      }
    }
    const providers = [
      Known,
      { provide: 'alias', useExisting: Known },
      { provide: 'factory', inject: [Known], useFactory: (known: Known) => known },
      PerRequest,
      OfRequest,
      Transient,
    ];
    const app = await boot({ imports: [mailer(main)], providers });
    await fallsDown(main, app.get(MailService));
    expect(heard).toEqual(['known']);
  });

  it('passes over providers of any other shape', async () => {
    const main = await provider('main');
    class Shadowed {
      method(): void {}
    }
    const odd = [
      Object.assign(new Shadowed(), { method: 'a string' }),
      Object.defineProperty(new Shadowed(), 'method', { value: undefined }),
      Object.create(null) as object,
      'text',
      null,
      () => undefined,
    ];
    const providers = odd.map((useValue, index) => ({ provide: `odd ${index}`, useValue }));
    const app = await boot({ imports: [mailer(main)], providers });
    expect(await app.get(MailService).send({ to: 'ann@mail.test', subject: 'x', text: 'x' })).toMatchObject({
      status: 'sent',
    });
  });
});
