import { randomBytes } from 'node:crypto';
import { Injectable } from '@nestjs/common';
import { describe, expect, it } from 'vitest';
import type { MailEvents } from '../../src/events/events.js';
import { MailModule } from '../../src/nest/mail.module.js';
import { MailService } from '../../src/nest/mail.service.js';
import { OnMail } from '../../src/nest/on-mail.js';
import type { QueueConfig } from '../../src/nest/options/types.js';
import { eventually } from '../support/eventually.js';
import { startPostgres } from '../support/postgres.js';
import { startRedis } from '../support/redis.js';
import { startSmtpServer } from '../support/smtp-server.js';
import { everythingIn } from '../support/stored.js';
import { STORES } from '../support/stores.js';
import { boot } from './boot.js';

@Injectable()
class Everywhere {
  readonly sent: MailEvents['sent'][] = [];
  readonly deferred: MailEvents['deferred'][] = [];
  readonly completed: MailEvents['campaign-completed'][] = [];
  @OnMail('sent', { from: 'all' })
  onSent(event: MailEvents['sent']): void {
    this.sent.push(event);
  }
  @OnMail('deferred', { from: 'all' })
  onDeferred(event: MailEvents['deferred']): void {
    this.deferred.push(event);
  }
  @OnMail('campaign-completed', { from: 'all' })
  onCompleted(event: MailEvents['campaign-completed']): void {
    this.completed.push(event);
  }
}

@Injectable()
class Here {
  sent = 0;
  @OnMail('sent')
  onSent(): void {
    this.sent++;
  }
}

const mail = { subject: 'x', text: 'x' };
const people = (count: number) => Array.from({ length: count }, (_, n) => ({ to: `r${n}@readers.test` }));

async function member(smtp: string, queue: QueueConfig, providers: (typeof Everywhere | typeof Here)[]) {
  const transports = [{ name: 'main', url: smtp }];
  const retry = { firstPause: 50, maxPause: 100 };
  const module = MailModule.forRoot({ from: 'shop@shop.test', transports, queue: { ...queue, retry } });
  return boot({ imports: [module], providers });
}

describe.each(STORES.filter(({ name }) => name !== 'embedded'))('events of all processes on $name', (store) => {
  it('reach the others that ask for them, once each, dates and all', { timeout: 30_000 }, async () => {
    let busy = true;
    const smtp = await startSmtpServer({
      onRcpt: (address) => (busy && address.startsWith('r0') ? { code: 450, text: '4.2.1 Later' } : undefined),
    });
    const connection = await store.create();
    const listener = await member(smtp.url, { connection, worker: false }, [Everywhere, Here]);
    const worker = await member(smtp.url, { connection }, [Everywhere]);
    const [here, there] = [listener.get(Everywhere), worker.get(Everywhere)];
    await eventually(async () => {
      // The worker hears of the listener in a moment.
      await listener.get(MailService).send({ ...mail, lane: 'bulk', to: 'ann@mail.test' });
      expect(here.sent.length).toBeGreaterThan(0);
    });
    const before = here.sent.length;
    const campaign = await listener.get(MailService).sendBulk({ ...mail, recipients: people(40) });
    const { id } = campaign;
    await eventually(() => expect(here.deferred).toHaveLength(1));
    busy = false;
    await eventually(() => expect(here.completed).toHaveLength(1));
    const ofCampaign = here.sent.filter(({ campaignId }) => campaignId === id);
    expect(new Set(ofCampaign.map((event) => event.id)).size).toBe(40);
    expect(ofCampaign).toHaveLength(40);
    expect(before).toBeGreaterThan(0);
    expect(here.deferred).toEqual([there.deferred.at(-1)]);
    expect(here.deferred[0]!.nextAttemptAt).toBeInstanceOf(Date);
    expect(here.completed[0]!.finishedAt).toEqual((await listener.get(MailService).campaign(id))!.finishedAt);
    // What happened in the other process is not heard by whoever listens to this one.
    expect(listener.get(Here).sent).toBe(0);
    // The process in which it happened hears it once.
    expect(there.sent.filter(({ campaignId }) => campaignId === id)).toHaveLength(40);
  });
});

describe('events of all processes', () => {
  it('are sealed with queue.encryptionKey, and dropped by a process without it', { timeout: 30_000 }, async () => {
    const smtp = await startSmtpServer();
    const { url: connection } = await startRedis();
    const encryptionKey = randomBytes(32).toString('base64');
    const listener = await member(smtp.url, { connection, worker: false, encryptionKey }, [Everywhere]);
    const stranger = await member(smtp.url, { connection, worker: false }, [Everywhere]);
    const worker = await member(smtp.url, { connection, encryptionKey }, []);
    await eventually(async () => {
      await worker.get(MailService).send({ ...mail, to: 'secret@mail.test' });
      expect(listener.get(Everywhere).sent.length).toBeGreaterThan(0);
    });
    expect(listener.get(Everywhere).sent[0]!.recipients).toEqual(['secret@mail.test']);
    expect(stranger.get(Everywhere).sent).toEqual([]);
    expect(await everythingIn(connection)).not.toContain('secret@mail.test');
  });

  it('come again when the store was away', { timeout: 60_000 }, async () => {
    const smtp = await startSmtpServer();
    const redis = await startRedis({ appendonly: true });
    const postgres = await startPostgres();
    const hearsAgain = async (connection: string, restart: () => Promise<void>): Promise<void> => {
      const listener = await member(smtp.url, { connection, worker: false }, [Everywhere]);
      const worker = await member(smtp.url, { connection }, []);
      const isHeard = async (): Promise<void> => {
        const { sent } = listener.get(Everywhere);
        const { length } = sent;
        await worker.get(MailService).send({ ...mail, to: 'ann@mail.test' });
        await eventually(() => expect(sent.length).toBeGreaterThan(length), { within: 500 });
      };
      await eventually(isHeard);
      await restart();
      await eventually(isHeard, { within: 30_000 });
    };
    await Promise.all([
      hearsAgain(redis.url, () => redis.restart()),
      hearsAgain(postgres.url, async () => {
        await postgres.kill();
        await postgres.start();
      }),
    ]);
  });
});
