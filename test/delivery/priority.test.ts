import { randomBytes } from 'node:crypto';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { sendNow } from '../../src/delivery/priority.js';
import { MailDeliveryError, MailValidationError } from '../../src/errors.js';
import type { Message, Travel } from '../../src/message/message.js';
import { newId } from '../../src/message/ids.js';
import type { Routes } from '../../src/transport/route.js';
import { eventually } from '../support/eventually.js';
import { parse } from '../support/parse.js';
import { startScriptedSmtp } from '../support/scripted-smtp.js';
import { startSmtpServer } from '../support/smtp-server.js';
import { plainMessage } from '../support/message.js';
import { routesOf } from '../transport/routes.js';
import { smtpTransport } from '../transport/smtp.js';

afterEach(() => {
  vi.useRealTimers();
});

const at = (address: string) => ({ name: '', address });

function message(extra: Partial<Message & Travel> = {}): Message & Travel {
  return plainMessage(extra);
}

function send(url: string, extra: Partial<Message & Travel> = {}, timeout = 10_000) {
  return sendBy(routesOf([smtpTransport(url)]), message(extra), timeout);
}

async function sendBy(routes: Routes, what = message(), timeout = 5_000) {
  return (await sendNow(what, routes, { id: newId('p'), timeout })).receipt;
}

const failure = async (sending: Promise<unknown>) => {
  const error: unknown = await sending.catch((reason: unknown) => reason);
  expect(error).toBeInstanceOf(MailDeliveryError);
  return error as MailDeliveryError;
};

describe('the envelope', () => {
  it('is exactly to, cc and bcc, each once, and Bcc stays in it', async () => {
    const server = await startSmtpServer();
    const receipt = await send(server.url, {
      to: [at('ann@mail.test'), at('bob@mail.test')],
      cc: [at('bob@mail.test'), at('cy@mail.test')],
      bcc: [at('dee@mail.test'), at('ann@MAIL.test')],
    });
    const recipients = ['ann@mail.test', 'bob@mail.test', 'cy@mail.test', 'dee@mail.test'];
    const [received] = server.received;
    expect(received).toMatchObject({ from: 'shop@shop.test', to: recipients });
    expect(received?.raw.toString()).not.toMatch(/dee@mail|bcc/i);
    const parsed = await parse(received?.raw ?? '');
    expect([...parsed.to, ...parsed.cc].map(({ address }) => address)).toEqual([
      ...['ann@mail.test', 'bob@mail.test'],
      ...['bob@mail.test', 'cy@mail.test'],
    ]);
    expect(receipt.accepted.map((address) => address.toLowerCase())).toEqual(recipients);
  });

  it('carries international domains in ASCII, and the receipt has them as they were given', async () => {
    const server = await startScriptedSmtp({
      rcpt: (line) => (line.includes('nobody') ? '550 5.1.1 Unknown' : undefined),
    });
    const receipt = await send(server.url, {
      from: at('상점@우편.한국'),
      to: [at('ann@우편.한국'), at('이순신@우편.한국'), at('nobody@우편.한국')],
    });
    expect(server.commands.slice(1)).toEqual([
      expect.stringMatching(/^MAIL FROM:<상점@xn--vo5bi2v.xn--3e0b707e> SMTPUTF8/) as string,
      'RCPT TO:<ann@xn--vo5bi2v.xn--3e0b707e>',
      'RCPT TO:<이순신@xn--vo5bi2v.xn--3e0b707e>',
      'RCPT TO:<nobody@xn--vo5bi2v.xn--3e0b707e>',
      'DATA',
    ]);
    expect(receipt).toMatchObject({
      accepted: ['ann@우편.한국', '이순신@우편.한국'],
      rejected: ['nobody@우편.한국'],
      rejections: [{ address: 'nobody@우편.한국', replyCode: 550, enhancedCode: '5.1.1', permanent: true }],
    });
  });
});

describe('the receipt', () => {
  it('has the provider’s answer, and the id is the one in the message', async () => {
    const server = await startScriptedSmtp({ message: () => '250 2.0.0 Ok: queued as 4711' });
    const receipt = await send(server.url);
    expect(receipt).toEqual({
      status: 'sent',
      id: expect.stringMatching(/^p_[0-9A-Za-z]{20}$/) as string,
      messageId: `<${receipt.id}@shop.test>`,
      lane: 'priority',
      transport: 'main',
      accepted: ['ann@mail.test'],
      rejected: [],
      rejections: [],
      response: '250 2.0.0 Ok: queued as 4711',
    });
    expect((await parse(server.messages[0] ?? '')).messageId).toBe(receipt.messageId);
  });
});

describe('what arrives', () => {
  it('is what was written: lines of dots, and 10 MB byte by byte', async () => {
    const server = await startSmtpServer();
    const text = '.\r\n..\r\n...x\r\n\r\n.y';
    const content = randomBytes(10 * 1024 * 1024);
    const attachments = [{ filename: 'big.bin', content, disposition: 'attachment' as const }];
    await send(server.url, { text });
    await send(server.url, { text, attachments });
    const [plain, large] = await Promise.all(server.received.map(({ raw }) => parse(raw)));
    expect(plain?.text?.trimEnd()).toBe(text.replaceAll('\r\n', '\n'));
    expect(large?.attachments[0]?.content.equals(content)).toBe(true);
  });
});

describe('the deadline', () => {
  it.each([
    ['connect', 'connect', 'not-sent'],
    ['mail', 'mail', 'not-sent'],
    ['message', 'body', 'unknown'],
  ] as const)('covers a server that hangs at %s', async (step, phase, outcome) => {
    let hangs = 0;
    const hang = () => {
      hangs++;
      return 'hang' as const;
    };
    const server = await startScriptedSmtp({ [step]: hang });
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
    let settled = false;
    const sending = failure(send(server.url, {}, 5_000)).finally(() => (settled = true));
    await eventually(() => hangs === 1);
    await vi.advanceTimersByTimeAsync(4_999);
    expect(settled).toBe(false);
    await vi.advanceTimersByTimeAsync(1);
    const error = await sending;
    expect(error).toMatchObject({ outcome, permanent: false });
    expect(error.attempts).toMatchObject([{ phase, outcome, reply: 'No answer within priority.timeout' }]);
  });

  it('is shared out among the transports: one that hangs leaves the others theirs', async () => {
    const servers = [await startScriptedSmtp({ connect: () => 'hang' }), await startScriptedSmtp()] as const;
    const routes = routesOf([smtpTransport(servers[0].url, { name: 'hung' }), smtpTransport(servers[1].url)]);
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
    const sending = sendBy(routes);
    await eventually(() => servers[0].connections === 1);
    await vi.advanceTimersByTimeAsync(2_501);
    expect(await sending).toMatchObject({ transport: 'main' });
    expect(servers[1].messages).toHaveLength(1);
  });

  it('leaves no timer behind', async () => {
    const server = await startSmtpServer();
    const transport = smtpTransport(server.url);
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
    await sendBy(routesOf([transport]));
    await transport.close(0);
    await eventually(() => server.open === 0);
    // The goodbye's own.
    vi.advanceTimersByTime(1_000);
    expect(vi.getTimerCount()).toBe(0);
  });
});

describe('a message', () => {
  it('that has expired is not sent, now or later', async () => {
    const server = await startSmtpServer();
    const error = await failure(send(server.url, { expiresAt: Date.now() - 1 }));
    expect(error).toMatchObject({ permanent: true, outcome: 'not-sent', attempts: [] });
    expect(error.message).toBe(`Message ${error.id} expired before it could be sent`);
    expect(server.connections).toBe(0);
  });

  it('that expires on the way is given up then', async () => {
    const server = await startScriptedSmtp({ connect: () => 'hang' });
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'Date'] });
    const sending = failure(send(server.url, { expiresAt: Date.now() + 2_000 }));
    await eventually(() => server.connections === 1);
    await vi.advanceTimersByTimeAsync(2_000);
    expect((await sending).attempts).toMatchObject([{ reply: 'The message expired before an answer came' }]);
  });

  it('may name its transport, which then is the only one', async () => {
    const servers = [await startSmtpServer(), await startSmtpServer()] as const;
    const transports = servers.map(({ url }, index) => smtpTransport(url, { name: `t${index}` }));
    const routes = routesOf(transports);
    expect(await sendBy(routes, message({ transport: 't1' }))).toMatchObject({ transport: 't1' });
    await expect(sendBy(routes, message({ transport: 't2' }))).rejects.toThrow(MailValidationError);
    expect(servers[0].connections).toBe(0);
  });
});
