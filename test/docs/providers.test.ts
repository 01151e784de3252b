import 'reflect-metadata';
import type { INestApplicationContext, Type } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { MailService, type CampaignReceipt, type MailReceipt } from '../../src/index.js';
import { eventually } from '../support/eventually.js';
import { openPage } from '../support/page.js';
import { startRedis } from '../support/redis.js';
import { startProvider, type ProviderStub } from '../support/provider-stubs.js';

interface Orders {
  shipped(email: string, order: string): Promise<MailReceipt>;
  news(recipients: { to: string; context: object }[]): Promise<CampaignReceipt>;
}

describe('docs/providers.md', () => {
  let resend: ProviderStub;
  let postmark: ProviderStub;
  let app: INestApplicationContext;
  let orders: Orders;

  beforeEach(async () => {
    [resend, postmark] = await Promise.all([startProvider('resend'), startProvider('postmark')]);
    for (const [name, value] of Object.entries({
      RESEND_KEY: 'provider-key',
      RESEND_URL: resend.url,
      POSTMARK_TOKEN: 'provider-key',
      POSTMARK_URL: postmark.url,
      QUEUE_URL: (await startRedis()).url,
    })) {
      vi.stubEnv(name, value);
    }
    const page = openPage('docs/providers.md');
    const { ProvidersModule, Orders } = await page.load<{ ProvidersModule: Type; Orders: Type<Orders> }>(
      'src/providers.module.ts',
    );
    app = await NestFactory.createApplicationContext(ProvidersModule, { logger: false });
    orders = app.get(Orders);
  });
  afterEach(async () => {
    vi.unstubAllEnvs();
    await app.close();
  });

  it('sends over both lanes, and over the other provider when one cannot', async () => {
    expect(await orders.shipped('ann@mail.example', '7')).toMatchObject({
      status: 'sent',
      transport: 'resend',
      accepted: ['ann@mail.example'],
      response: expect.stringMatching(/^Accepted as /) as string,
    });
    const { id } = await orders.news([{ to: 'cat@mail.example', context: { name: 'Cat' } }]);
    const mail = app.get(MailService);
    await eventually(async () => (await mail.campaign(id))?.state === 'completed');
    expect(resend.requests.at(-1)!.body).toMatchObject({ to: ['cat@mail.example'], subject: 'News for Cat' });
    expect(await mail.status(`${id}-0.0`)).toMatchObject({ state: 'sent', transport: 'resend' });
    expect(await mail.verify()).toMatchObject([
      { name: 'resend', ok: true },
      { name: 'postmark', ok: true },
    ]);

    resend.behave({ does: 'be-down' });
    expect(await orders.shipped('bob@mail.example', '8')).toMatchObject({ transport: 'postmark' });
  });
});
