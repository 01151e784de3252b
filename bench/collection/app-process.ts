/** A web application on Express or Fastify whose handlers queue the mail of many followers, one by one. */
import 'reflect-metadata';
import { Controller, Inject, Post } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { FastifyAdapter } from '@nestjs/platform-fastify';
import { Queue } from 'bullmq';
import { CollectMail, MailModule, MailService, MailWorker } from 'nestjs-priority-mail';
import { type Letter, SENDER, letters } from '../lib/newsletter.js';
import { serve } from '../lib/serve.js';

export interface AppOptions {
  framework: 'Express' | 'Fastify';
  redis: string;
  /** A URL. Nothing is delivered before `deliver`. */
  sink: string;
  followers: number;
  /** Of a mail's HTML, about. */
  bytes: number;
}

let queue: Queue<Letter>;
let worker: MailWorker;
let mails: () => Iterable<Letter>;

@Controller()
class PostsController {
  constructor(@Inject(MailService) private readonly mail: MailService) {}

  @Post('collected')
  @CollectMail()
  async collected(): Promise<void> {
    for (const letter of mails()) await this.mail.send({ ...letter, lane: 'bulk' });
  }

  @Post('alone')
  async alone(): Promise<void> {
    for (const letter of mails()) await this.mail.send({ ...letter, lane: 'bulk' });
  }

  @Post('add')
  async add(): Promise<void> {
    for (const letter of mails()) await queue.add('mail', letter);
  }

  @Post('addBulk')
  async addBulk(): Promise<void> {
    await queue.addBulk(Array.from(mails(), (data) => ({ name: 'mail', data })));
  }
}

serve({
  /** @returns the application's URL */
  async boot({ framework, redis, sink, followers, bytes }: AppOptions): Promise<string> {
    mails = () => letters({ id: 'posts', first: 0, count: followers, bytes });
    queue = new Queue('mails', { connection: { url: redis } });
    const module = {
      module: class AppModule {},
      imports: [
        MailModule.forRoot({
          from: SENDER,
          transports: [{ name: 'sink', url: sink, minWarm: 0, maxConnections: 10 }],
          queue: { connection: redis, worker: { autorun: false } },
        }),
      ],
      controllers: [PostsController],
    };
    const logger = ['error', 'fatal'] as const;
    const app =
      framework === 'Express'
        ? await NestFactory.create(module, { logger: [...logger] })
        : await NestFactory.create(module, new FastifyAdapter(), { logger: [...logger] });
    await app.listen(0, '127.0.0.1');
    await app.get(MailService).queue();
    await queue.waitUntilReady();
    worker = app.get(MailWorker);
    return app.getUrl();
  },

  /** @returns how many mails were delivered */
  deliver: async (): Promise<number> => (await worker.runUntil({ deadline: '1m' })).sent,
});
