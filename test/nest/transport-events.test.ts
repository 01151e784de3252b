import { channel } from 'node:diagnostics_channel';
import { describe, expect, it, onTestFinished } from 'vitest';
import { getMailToken } from '../../src/nest/inject-mail.js';
import { MailService } from '../../src/nest/mail.service.js';
import { eventually } from '../support/eventually.js';
import { boot } from './boot.js';
import { fallsDown, logged, mailer, provider } from './falls-down.js';

describe('what happens to a transport', () => {
  it('is logged', async () => {
    const main = await provider('main');
    const [warnings, notes] = [logged('warn'), logged('log')];
    const app = await boot({ imports: [mailer(main)] });
    await fallsDown(main, app.get(MailService));
    expect(warnings()).toEqual([
      expect.stringMatching(/^The mail transport main is down, .*: main at connect: .*ECONNREFUSED/),
    ]);
    await main.smtp.resume();
    const up = /^The mail transport main works again, after \d+ s$/;
    await eventually(() => expect(notes()).toContainEqual(expect.stringMatching(up)), { within: 20_000 });
    expect(warnings()).toHaveLength(1);
  });

  it.each([
    [undefined, 'default'],
    ['news', 'news'],
  ])('is published on a diagnostics channel, with the name of mailer %s', async (name, published) => {
    const main = await provider('main');
    const heard: unknown[] = [];
    const listen = (event: unknown): void => void heard.push(event);
    const down = channel('nestjs-priority-mail:transport-down');
    const up = channel('nestjs-priority-mail:transport-up');
    for (const one of [down, up]) one.subscribe(listen);
    onTestFinished(() => void [down, up].forEach((one) => one.unsubscribe(listen)));
    const app = await boot({ imports: [mailer(main, name)] });
    await fallsDown(main, app.get(getMailToken(name)));
    expect(heard).toEqual([expect.objectContaining({ mailer: published, transport: 'main', region: 'eu-west-1' })]);
    await main.smtp.resume();
    await eventually(() => expect(heard).toHaveLength(2), { within: 20_000 });
    expect(heard[1]).toEqual(expect.objectContaining({ mailer: published, downFor: expect.any(Number) as number }));
  });
});
