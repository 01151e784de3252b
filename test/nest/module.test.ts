import { existsSync } from 'node:fs';
import { Inject, Injectable } from '@nestjs/common';
import { describe, expect, it, onTestFinished } from 'vitest';
import { MailConfigError, MailValidationError } from '../../src/errors.js';
import { InjectMail } from '../../src/nest/inject-mail.js';
import { MailModule } from '../../src/nest/mail.module.js';
import { MailService } from '../../src/nest/mail.service.js';
import type { MailModuleOptions, MailOptionsFactory } from '../../src/nest/options/types.js';
import { Mailbox } from '../../src/testing/mailbox.js';
import { parse } from '../support/parse.js';
import { temporaryFolder } from '../support/temp.js';
import { boot, into, moduleOf } from './boot.js';

const hello = { to: 'ann@mail.test', subject: 'Hello', text: 'Hello' };

/** Works in an empty folder while the test runs, and returns it. */
function inEmptyFolder(): string {
  const before = process.cwd();
  const folder = temporaryFolder();
  process.chdir(folder);
  onTestFinished(() => process.chdir(before));
  return folder;
}

describe('forRoot', () => {
  it('gives every module a MailService by type', async () => {
    @Injectable()
    class Welcome {
      constructor(@Inject(MailService) readonly mail: MailService) {}
    }
    const mailbox = new Mailbox();
    const elsewhere = moduleOf({ providers: [Welcome] });
    const app = await boot({ imports: [MailModule.forRoot(into(mailbox)), elsewhere] });
    const receipt = await app.get(Welcome, { strict: false }).mail.send(hello);
    expect(receipt).toMatchObject({
      status: 'sent',
      lane: 'priority',
      transport: 'mailbox',
      accepted: ['ann@mail.test'],
    });
    const [mail] = mailbox.to('ann@mail.test');
    expect(await parse(mail?.raw ?? '')).toMatchObject({
      from: { name: 'Shop', address: 'no-reply@shop.test' },
      subject: 'Hello',
      messageId: receipt.messageId,
    });
  });

  it('ends the boot when an option is wrong', async () => {
    const wrong = { ...into(), shutdownTimeout: 'soon' } as unknown as MailModuleOptions;
    const booting = boot({ imports: [MailModule.forRoot(wrong)] });
    await expect(booting).rejects.toThrow(MailConfigError);
    await expect(booting).rejects.toThrow('The mail option shutdownTimeout is "soon".');
  });

  it('sends nothing when the message is wrong', async () => {
    const mailbox = new Mailbox();
    const mail = (await boot({ imports: [MailModule.forRoot(into(mailbox))] })).get(MailService);
    await expect(mail.send({ ...hello, to: 'nobody', subject: 'a\r\nb' })).rejects.toThrow(MailValidationError);
    expect(mailbox.received).toEqual([]);
  });
});

describe('forRootAsync', () => {
  const CONFIG = 'CONFIG';

  class Options implements MailOptionsFactory {
    createMailOptions(): MailModuleOptions {
      return into();
    }
  }

  it('takes a factory with dependencies', async () => {
    const config = moduleOf({
      providers: [{ provide: CONFIG, useValue: { from: 'conf@shop.test' } }],
      exports: [CONFIG],
    });
    const mailbox = new Mailbox();
    const module = MailModule.forRootAsync({
      imports: [config],
      inject: [CONFIG],
      useFactory: async ({ from }: { from: string }) => ({ ...into(mailbox), from }),
    });
    await (await boot({ imports: [module] })).get(MailService).send(hello);
    expect(mailbox.received[0]?.envelope.from).toBe('conf@shop.test');
  });

  it('takes a class', async () => {
    const app = await boot({ imports: [MailModule.forRootAsync({ useClass: Options })] });
    expect(await app.get(MailService).send(hello)).toMatchObject({ status: 'sent' });
  });

  it('takes a provider that exists', async () => {
    const config = moduleOf({ providers: [Options], exports: [Options] });
    const app = await boot({ imports: [config, MailModule.forRootAsync({ imports: [config], useExisting: Options })] });
    expect(await app.get(MailService).send(hello)).toMatchObject({ status: 'sent' });
  });

  it('ends the boot when the factory fails, or makes wrong options', async () => {
    const failing = MailModule.forRootAsync({ useFactory: () => Promise.reject(new Error('The vault is locked')) });
    await expect(boot({ imports: [failing] })).rejects.toThrow('The vault is locked');
    const nothing = MailModule.forRootAsync({ useFactory: () => ({}) as MailModuleOptions });
    await expect(boot({ imports: [nothing] })).rejects.toThrow('The mail option transports is missing.');
  });

  it('takes name and isGlobal beside its factory', async () => {
    const module = MailModule.forRootAsync({
      name: 'news',
      isGlobal: false,
      useFactory: () => into(new Mailbox('news')),
    });
    expect(module).toMatchObject({ global: false });
    @Injectable()
    class News {
      constructor(@InjectMail('news') readonly mail: MailService) {}
    }
    const app = await boot({ imports: [module], providers: [News] });
    expect(await app.get(News).mail.send(hello)).toMatchObject({ transport: 'news' });
  });
});

describe('several mailers', () => {
  it('inject by name, the one without by type as well', async () => {
    @Injectable()
    class Sender {
      constructor(
        @Inject(MailService) readonly byType: MailService,
        @InjectMail() readonly plain: MailService,
        @InjectMail('news') readonly news: MailService,
        @InjectMail('alerts') readonly alerts: MailService,
      ) {}
    }
    const mailer = (name?: string) =>
      MailModule.forRoot({ ...into(new Mailbox(name ?? 'plain')), ...(name === undefined ? {} : { name }) });
    const app = await boot({ imports: [mailer(), mailer('news'), mailer('alerts')], providers: [Sender] });
    const { byType, plain, news, alerts } = app.get(Sender);
    expect(byType).toBe(plain);
    const receipts = await Promise.all([plain, news, alerts].map((mail) => mail.send(hello)));
    expect(receipts).toMatchObject([{ transport: 'plain' }, { transport: 'news' }, { transport: 'alerts' }]);
  });

  it.each(['', 'a b', 'a:b', 'x'.repeat(51)])('have no name %j', (name) => {
    expect(() => MailModule.forRoot({ ...into(), name })).toThrow(MailConfigError);
    expect(() => MailModule.forRoot({ ...into(), name })).toThrow(`The mail option name is "${name}".`);
  });
});

describe('isGlobal: false', () => {
  @Injectable()
  class Inner {
    constructor(@Inject(MailService) readonly mail: MailService) {}
  }
  const module = () => MailModule.forRoot({ ...into(), isGlobal: false });

  it('keeps the mailer to the modules that import it', async () => {
    const inner = moduleOf({ imports: [module()], providers: [Inner] });
    const app = await boot({ imports: [inner] });
    expect(await app.get(Inner, { strict: false }).mail.send(hello)).toMatchObject({ status: 'sent' });
  });

  it('has no mailer for the others', async () => {
    const inner = moduleOf({ providers: [Inner] });
    await expect(boot({ imports: [module(), inner] })).rejects.toThrow(/MailService/);
  });
});

describe('queue: false', () => {
  it('opens no store, and refuses what needs one', async () => {
    const folder = inEmptyFolder();
    const app = await boot({ imports: [MailModule.forRoot(into())] });
    const mail = app.get(MailService);
    const { id } = await mail.send(hello);
    const none = 'There is no bulk lane: the mail module was configured with queue: false.';
    await expect(mail.sendBulk({ subject: 'Hi', text: 'Hi', recipients: [{ to: 'ann@mail.test' }] })).rejects.toThrow(
      none,
    );
    await expect(mail.send({ ...hello, lane: 'bulk' })).rejects.toThrow(MailConfigError);
    await expect(mail.queue()).rejects.toThrow(none);
    await expect(mail.cancel(id)).rejects.toThrow(none);
    expect(await mail.status(id)).toBeUndefined();
    expect(existsSync(`${folder}/.mail-queue`)).toBe(false);
  });
});

describe('the embedded store by default', () => {
  it('is not created before the first bulk mail', async () => {
    const folder = inEmptyFolder();
    const { queue: _queue, ...options } = into();
    const app = await boot({ imports: [MailModule.forRoot(options)] });
    const mail = app.get(MailService);
    const { id } = await mail.send(hello);
    expect(await mail.status(id)).toBeUndefined();
    expect(await mail.queue()).toMatchObject({ paused: false });
    await app.close();
    expect(existsSync(`${folder}/.mail-queue`)).toBe(false);
  });
});

describe('verify', () => {
  it('tells of each transport whether it can be used, and why not', async () => {
    const options = {
      ...into(),
      transports: [new Mailbox(), { name: 'dead', url: 'smtp://user:s3cret@127.0.0.1:1', region: 'eu' }],
    };
    const mail = (await boot({ imports: [MailModule.forRoot(options)] })).get(MailService);
    const checks = await mail.verify();
    expect(checks).toMatchObject([
      { name: 'mailbox', ok: true },
      { name: 'dead', region: 'eu', ok: false, error: expect.stringContaining('ECONNREFUSED') as string },
    ]);
    expect(JSON.stringify(checks)).not.toContain('s3cret');
  });
});
