import 'reflect-metadata';
import { getQueueToken } from '@nestjs/bullmq';
import {
  Controller,
  Get,
  Inject,
  Injectable,
  Post,
  SetMetadata,
  Sse,
  type DynamicModule,
  type INestApplicationContext,
} from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { AbstractGraphQLDriver, GraphQLModule, GraphQLSchemaHost, Mutation, Query, Resolver } from '@nestjs/graphql';
import { ClientProxyFactory, MessagePattern, Transport as Wire } from '@nestjs/microservices';
import { FastifyAdapter } from '@nestjs/platform-fastify';
import { Cron, ScheduleModule, SchedulerRegistry } from '@nestjs/schedule';
import type { Queue } from 'bullmq';
import type * as GraphQL from 'graphql';
import { createRequire } from 'node:module';
import { interval, lastValueFrom, map, Observable, Subject, toArray, type Subscription } from 'rxjs';
import { afterEach, beforeAll, describe, expect, it, onTestFinished } from 'vitest';
import { MailConfigError } from '../../src/errors.js';
import { CollectMail } from '../../src/nest/collect-mail.js';
import { MailModule } from '../../src/nest/mail.module.js';
import { MailService } from '../../src/nest/mail.service.js';
import type { MailModuleOptions } from '../../src/nest/options/types.js';
import type { Batch } from '../../src/queue/batch.js';
import { Mailbox } from '../../src/testing/mailbox.js';
import { eventually } from '../support/eventually.js';
import { freePort } from '../support/free-port.js';
import { startRedis, type RedisServer } from '../support/redis.js';

// The one that @nestjs/graphql has; Vite would take the other build of the package.
const { graphql } = createRequire(import.meta.url)('graphql') as typeof GraphQL;

let redis: RedisServer;
let databases = 0;
let app: INestApplicationContext;

beforeAll(async () => {
  redis = await startRedis();
});
afterEach(() => app.close());

/** Sends three mails; `fails` tells what comes after them. */
@Injectable()
class News {
  constructor(@Inject(MailService) private readonly mail: MailService) {}

  async send(fails = false): Promise<string> {
    for (const n of [1, 2, 3]) {
      const { status } = await this.mail.send({ lane: 'bulk', to: `r${n}@readers.test`, subject: `${n}` });
      if (status !== 'collected') throw new Error(`The mail is ${status}`);
    }
    expect(await queued()).toBe(0);
    if (fails) throw new Error('boom');
    return 'sent';
  }

  stream(): Observable<string> {
    return new Observable((subscriber) => {
      void this.send().then(
        (answer) => {
          subscriber.next('begun');
          subscriber.next(answer);
          subscriber.complete();
        },
        (error: unknown) => subscriber.error(error),
      );
    });
  }

  /** Goes on for ever. */
  live(): Observable<object> {
    this.begin();
    return interval(10).pipe(map((n) => ({ data: { n } })));
  }

  /** Nobody awaits the mail. */
  begin(): string {
    void this.mail.send({ lane: 'bulk', to: 'r1@readers.test', subject: '1' });
    return 'begun';
  }
}

/** Its handlers are collected only with `collect: 'requests'`. */
@Controller()
class PlainController {
  constructor(@Inject(News) private readonly news: News) {}

  @Post('plain') plain(): Promise<string> {
    return this.news.send();
  }

  @Post('fails') fails(): Promise<string> {
    return this.news.send(true);
  }

  @Post('stream') stream(): Observable<string> {
    return this.news.stream();
  }

  @Post('begin') begin(): string {
    return this.news.begin();
  }

  @Sse('live') live(): Observable<object> {
    return this.news.live();
  }

  @MessagePattern('plain') message(): Promise<string> {
    return this.news.send();
  }
}

@Controller('decorated')
class DecoratedController {
  constructor(@Inject(News) private readonly news: News) {}

  @CollectMail() @Post('below') below(): Promise<string> {
    return this.news.send();
  }

  @Post('above') @CollectMail() above(): Promise<string> {
    return this.news.send();
  }

  @CollectMail() @Post('fails') fails(): Promise<string> {
    return this.news.send(true);
  }

  @CollectMail({ onError: 'flush' }) @Post('flushes') flushes(): Promise<string> {
    return this.news.send(true);
  }

  @CollectMail() @Post('stream') stream(): Observable<string> {
    return this.news.stream();
  }

  @CollectMail() @Sse('live-below') liveBelow(): Observable<object> {
    return this.news.live();
  }

  @Sse('live-above') @CollectMail() liveAbove(): Observable<object> {
    return this.news.live();
  }

  @CollectMail() @MessagePattern('decorated') message(): Promise<string> {
    return this.news.send();
  }
}

@CollectMail()
@Controller('class')
class CollectingController {
  constructor(@Inject(News) private readonly news: News) {}

  @Post('all') all(): Promise<string> {
    return this.news.send();
  }

  @CollectMail({ onError: 'flush' }) @Post('own') own(): Promise<string> {
    return this.news.send(true);
  }

  @Get('value') value(): string {
    return this.plain();
  }

  plain(): string {
    return 'as it is';
  }
}

@Resolver()
class NewsResolver {
  constructor(@Inject(News) private readonly news: News) {}

  @Query(() => String) none(): string {
    return 'nothing';
  }

  @Mutation(() => String) plain(): Promise<string> {
    return this.news.send();
  }

  @CollectMail() @Mutation(() => String) decorated(): Promise<string> {
    return this.news.send();
  }

  @Mutation(() => String) @CollectMail() fails(): Promise<string> {
    return this.news.send(true);
  }
}

@Injectable()
class Jobs {
  done = '';

  constructor(@Inject(News) private readonly news: News) {}

  @CollectMail()
  @Cron('0 0 4 * * *', { name: 'above' })
  async above(): Promise<void> {
    await this.news.send();
    this.done = 'above';
  }

  @Cron('0 0 4 * * *', { name: 'below' })
  @CollectMail()
  async below(): Promise<void> {
    await this.news.send();
    this.done = 'below';
  }
}

class SchemaDriver extends AbstractGraphQLDriver {
  override start(): Promise<void> {
    return Promise.resolve();
  }

  override stop(): Promise<void> {
    return Promise.resolve();
  }
}

function moduleWith(
  options: Partial<MailModuleOptions> = {},
  imports: NonNullable<DynamicModule['imports']> = [],
  providers: NonNullable<DynamicModule['providers']> = [],
): DynamicModule {
  return {
    module: class AppModule {},
    imports: [
      MailModule.forRoot({
        from: 'Shop <no-reply@shop.test>',
        transports: [new Mailbox()],
        queue: { connection: `${redis.url}/${databases++}`, worker: false },
        ...options,
      }),
      ...imports,
    ],
    controllers: [PlainController, DecoratedController, CollectingController],
    providers: [News, ...providers],
  };
}

const quiet = { logger: false, abortOnError: false } as const;

async function queued(): Promise<number> {
  await app.get(MailService).queue();
  const jobs = await app.get<Queue>(getQueueToken('mail')).getJobs(['prioritized', 'wait', 'delayed']);
  return jobs.reduce((sum, { data }) => sum + (data as Batch).items.length, 0);
}

/** The same, and removes them. */
async function taken(): Promise<number> {
  const count = await queued();
  await app.get<Queue>(getQueueToken('mail')).drain();
  return count;
}

describe.each([
  ['Express', () => undefined],
  ['Fastify', () => new FastifyAdapter()],
])('on %s', (_, adapterOf) => {
  async function serve(options?: Partial<MailModuleOptions>): Promise<(path: string) => Promise<string>> {
    const module = moduleWith(options);
    const adapter = adapterOf();
    const server = adapter ? await NestFactory.create(module, adapter, quiet) : await NestFactory.create(module, quiet);
    app = server;
    await server.listen(0, '127.0.0.1');
    const url = await server.getUrl();
    return async (path) => {
      const response = await fetch(`${url}/${path}`, { method: path === 'class/value' ? 'GET' : 'POST' });
      return `${response.status} ${await response.text()}`;
    };
  }

  it('collects what handlers send that are decorated, or whose class is', async () => {
    const post = await serve();
    for (const path of ['decorated/below', 'decorated/above', 'decorated/stream', 'class/all']) {
      expect(await post(path)).toBe('201 sent');
      expect(await taken(), path).toBe(3);
    }
    expect(await post('decorated/fails')).toMatch(/^500/);
    expect(await taken()).toBe(0);
    expect(await post('decorated/flushes')).toMatch(/^500/);
    expect(await post('class/own')).toMatch(/^500/);
    expect(await taken()).toBe(6);
    expect(await post('class/value')).toBe('200 as it is');
    expect(await post('plain')).toMatch(/^500/);
    expect(await taken()).toBe(1);
  });

  it("collects what every request sends with collect: 'requests'", async () => {
    const post = await serve({ collect: 'requests' });
    for (const path of ['plain', 'stream', 'decorated/below']) {
      expect(await post(path)).toBe('201 sent');
      expect(await taken(), path).toBe(3);
    }
    expect(await post('begin')).toBe('201 begun');
    expect(await taken()).toBe(1);
    expect(await post('fails')).toMatch(/^500/);
    expect(await taken()).toBe(0);
  });
});

it('collects what handlers of microservices send', async () => {
  const port = await freePort();
  const options = { port, host: '127.0.0.1' };
  const service = await NestFactory.createMicroservice(moduleWith({ collect: 'requests' }), {
    ...quiet,
    transport: Wire.TCP,
    options,
  });
  app = service;
  await service.listen();
  const client = ClientProxyFactory.create({ transport: Wire.TCP, options });
  onTestFinished(() => void client.close());
  for (const pattern of ['plain', 'decorated']) {
    expect(await lastValueFrom(client.send<string>(pattern, {}))).toBe('sent');
    expect(await taken(), pattern).toBe(3);
  }
});

it.each([undefined, 'requests'] as const)('collects what resolvers send, collect: %s', async (collect) => {
  const schema = GraphQLModule.forRoot({ driver: SchemaDriver, autoSchemaFile: true });
  const options = collect ? { collect } : {};
  app = await NestFactory.createApplicationContext(moduleWith(options, [schema], [NewsResolver]), quiet);
  const mutate = (name: string) =>
    graphql({ schema: app.get(GraphQLSchemaHost).schema, source: `mutation { ${name} }` });
  for (const name of ['decorated', ...(collect ? ['plain'] : [])]) {
    expect(await mutate(name)).toEqual({ data: { [name]: 'sent' } });
    expect(await taken(), name).toBe(3);
  }
  expect((await mutate('fails')).errors).toMatchObject([{ message: 'boom' }]);
  expect(await taken()).toBe(0);
});

it('collects what @Cron methods send', async () => {
  app = await NestFactory.createApplicationContext(moduleWith({}, [ScheduleModule.forRoot()], [Jobs]), quiet);
  for (const name of ['above', 'below']) {
    await app.get(SchedulerRegistry).getCronJob(name).fireOnTick();
    await eventually(() => expect(app.get(Jobs).done).toBe(name));
    expect(await taken(), name).toBe(3);
  }
});

it('queues what handlers of server-sent events send while their clients are there', async () => {
  const server = await NestFactory.create(moduleWith({ collect: 'requests' }), {
    ...quiet,
    forceCloseConnections: true,
  });
  app = server;
  await server.listen(0, '127.0.0.1');
  const url = await server.getUrl();
  for (const path of ['live', 'decorated/live-below', 'decorated/live-above']) {
    const client = new AbortController();
    const response = await fetch(`${url}/${path}`, { signal: client.signal });
    await response.body!.getReader().read();
    await eventually(async () => expect(await queued(), path).toBe(1));
    client.abort();
    await taken();
  }
});

it('is refused at boot where it names a mailer that there is not', async () => {
  @Injectable()
  class Wrong {
    @CollectMail({ mailer: 'new' }) send(): void {}
  }
  app = await NestFactory.createApplicationContext(moduleWith(), quiet);
  const boot = NestFactory.createApplicationContext(moduleWith({}, [], [Wrong]), quiet);
  await expect(boot).rejects.toThrow('@CollectMail({ mailer }) of Wrong.send is "new". The mailers are default.');
});

describe('@CollectMail()', () => {
  it('keeps what others see of a method', () => {
    class Decorated {
      @CollectMail() @SetMetadata('below', 1) below(_a: string, _b: number): string {
        return 'answer';
      }

      @SetMetadata('above', 2) @CollectMail() above(): string {
        return 'answer';
      }
    }
    const { below, above } = Decorated.prototype as unknown as Record<string, (this: void) => unknown>;
    expect([below!.name, below!.length, Reflect.getMetadata('below', below!)]).toEqual(['below', 2, 1]);
    expect([above!.name, above!.length, Reflect.getMetadata('above', above!)]).toEqual(['above', 0, 2]);
    expect(Object.getOwnPropertyDescriptor(Decorated.prototype, 'below')).toMatchObject({ enumerable: false });
  });

  it('leaves values values and errors errors where no mail was sent', async () => {
    class Decorated {
      @CollectMail() value(): string {
        return 'value';
      }

      @CollectMail() fails(): string {
        throw new Error('boom');
      }

      @CollectMail() async rejects(): Promise<string> {
        return Promise.reject(new Error('boom'));
      }
    }
    expect(new Decorated().value()).toBe('value');
    expect(() => new Decorated().fails()).toThrow('boom');
    await expect(new Decorated().rejects()).rejects.toThrow('boom');
  });

  it('keeps to the mailer it names', async () => {
    class Decorated {
      constructor(private readonly mail: MailService) {}

      @CollectMail({ mailer: 'news' }) other(): Promise<{ status: string }> {
        return this.mail.send({ lane: 'bulk', to: 'r@readers.test', subject: '1' });
      }

      @CollectMail({ mailer: 'default' }) own(): Promise<{ status: string }> {
        return this.mail.send({ lane: 'bulk', to: 'r@readers.test', subject: '1' });
      }
    }
    app = await NestFactory.createApplicationContext(moduleWith(), quiet);
    const decorated = new Decorated(app.get(MailService));
    expect(await decorated.other()).toMatchObject({ status: 'queued' });
    expect(await decorated.own()).toMatchObject({ status: 'collected' });
  });

  it('collects over the subscription to an Observable, and discards when that is given up', async () => {
    app = await NestFactory.createApplicationContext(moduleWith(), quiet);
    const news = app.get(News);
    const source = new Subject<string>();
    class Decorated {
      @CollectMail() stream(): Observable<string> {
        return new Observable((subscriber) => {
          void news.send().then(() => source.subscribe(subscriber));
        });
      }
    }
    const values = async (end: (subscription: Subscription) => void): Promise<string[]> => {
      const seen: string[] = [];
      const subscription = new Decorated().stream().subscribe((value) => seen.push(value));
      await eventually(() => source.observed);
      source.next('live');
      await eventually(() => seen.length === 1);
      end(subscription);
      return seen;
    };
    await values((subscription) => subscription.unsubscribe());
    expect(await taken()).toBe(0);
    await values(() => source.complete());
    await eventually(async () => expect(await taken()).toBe(3));
    const answers = new Decorated().stream().pipe(toArray());
    expect(await lastValueFrom(answers)).toEqual([]);
  });

  it('is for classes and methods, and knows its options', () => {
    const decorate = CollectMail() as PropertyDecorator;
    expect(() => decorate({}, 'field')).toThrow(MailConfigError);
    class Generates {
      async *numbers(): AsyncGenerator<number> {
        yield 1;
      }
    }
    const numbers = Object.getOwnPropertyDescriptor(Generates.prototype, 'numbers')!;
    expect(() => CollectMail()(Generates.prototype, 'numbers', numbers)).toThrow('numbers, a generator');
    expect(() => CollectMail({ onError: 'ignore' as 'flush' })).toThrow('ignore');
  });
});
