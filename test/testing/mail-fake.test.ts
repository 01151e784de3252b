import 'reflect-metadata';
import { getQueueToken } from '@nestjs/bullmq';
import { Module } from '@nestjs/common';
import { Test } from '@nestjs/testing';
import { onTestFinished, describe, expect, it } from 'vitest';
import { MailModule } from '../../src/nest/mail.module.js';
import { MailService } from '../../src/nest/mail.service.js';
import { MailWorker } from '../../src/nest/mail-worker.js';
import type { MailModuleOptions, TransportConfig } from '../../src/nest/options/types.js';
import { MailFake, type MailAssertionError } from '../../src/testing/index.js';

const TRANSPORTS: TransportConfig[] = [
  { name: 'seoul', url: 'smtp://user:pass@smtp.seoul.invalid:587', region: 'kr', lanes: ['priority'] },
  { name: 'virginia', url: 'smtps://smtp.va.invalid', region: 'us', rateLimit: { messages: 1, per: '1h' } },
];

async function start(options: Partial<MailModuleOptions> = {}) {
  @Module({
    imports: [
      MailModule.forRoot({
        from: 'Shop <no-reply@shop.test>',
        region: 'kr',
        transports: TRANSPORTS,
        queue: { connection: 'redis://redis.invalid:1' },
        ...options,
      }),
    ],
  })
  class AppModule {}
  const fake = new MailFake();
  const app = await fake.install(Test.createTestingModule({ imports: [AppModule] })).compile();
  await app.init();
  onTestFinished(() => app.close());
  return { fake, app, mail: app.get(MailService) };
}

const failure = (assertion: () => unknown): MailAssertionError => {
  try {
    assertion();
  } catch (error) {
    return error as MailAssertionError;
  }
  throw new Error('It held');
};

describe('MailFake', () => {
  it('takes priority mail over the transports of the configuration, encoded', async () => {
    const { fake, mail } = await start();
    const receipt = await mail.send({
      to: 'Ann <ann@a.test>',
      bcc: 'audit@shop.test',
      subject: 'Ihr Kännwort — 비밀번호',
      text: 'Open https://shop.test/reset?a=1&b=2.',
      html: '<a href="https://shop.test/reset?a=1&amp;b=2">Öffnen</a>',
      headers: { 'X-Kind': 'reset' },
      attachments: [{ filename: '영수증 2026.pdf', content: Buffer.from([0, 1, 2, 255]) }],
    });
    expect(receipt).toMatchObject({ status: 'sent', transport: 'seoul', rejected: [] });
    const sent = fake.assertSent({
      to: 'ann@a.test',
      subject: /비밀번호$/,
      lane: 'priority',
      transport: 'seoul',
      attachments: [/\.pdf$/],
    });
    expect(sent.id).toBe(receipt.id);
    expect(sent.subject).toBe('Ihr Kännwort — 비밀번호');
    expect(sent.text).toBe('Open https://shop.test/reset?a=1&b=2.');
    expect(sent.html).toBe('<a href="https://shop.test/reset?a=1&amp;b=2">Öffnen</a>');
    expect(sent.links()).toEqual(['https://shop.test/reset?a=1&b=2']);
    expect(sent.headers).toMatchObject({ 'x-kind': 'reset', from: 'Shop <no-reply@shop.test>' });
    expect(sent.envelope).toEqual({ from: 'no-reply@shop.test', to: ['ann@a.test', 'audit@shop.test'] });
    expect(sent.raw).not.toContain('audit@shop.test');
    expect(sent.attachments).toEqual([
      { filename: '영수증 2026.pdf', contentType: 'application/pdf', content: Buffer.from([0, 1, 2, 255]) },
    ]);
    expect(await mail.status(receipt.id)).toMatchObject({ state: 'sent' });
  });

  it('holds queued mail until the test delivers it', async () => {
    const { fake, mail } = await start();
    const receipt = await mail.send({ lane: 'bulk', to: 'ann@a.test', subject: 'News', text: 'x' });
    await mail.sendBulk({
      id: 'spring',
      subject: 'Hi {{name}}',
      text: 'Dear {{name}}',
      recipients: [
        { to: 'bob@b.test', context: { name: 'Bob' } },
        { to: 'cid@c.test', context: { name: 'Cid' } },
      ],
    });
    expect(fake.sent()).toEqual([]);
    expect(fake.assertQueued({ to: 'bob@b.test' })).toMatchObject({ subject: 'Hi Bob', text: 'Dear Bob' });
    fake.assertOutgoingCount(3);
    expect(await mail.status(receipt.id)).toMatchObject({ state: 'queued' });
    expect(await fake.deliverQueued()).toEqual({ sent: 3, failed: 0, deferred: 0, queued: 0 });
    expect(fake.sent({ lane: 'bulk', transport: 'virginia' }).map(({ subject }) => subject)).toEqual([
      'News',
      'Hi Bob',
      'Hi Cid',
    ]);
    expect(fake.queued()).toEqual([]);
    fake.assertOutgoingCount(3);
    expect(await mail.status(receipt.id)).toMatchObject({ state: 'sent' });
    expect(await mail.campaign('spring')).toMatchObject({ state: 'completed', sent: 2 });
  });
});
