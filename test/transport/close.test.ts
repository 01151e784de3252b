import { afterEach, describe, expect, it, vi } from 'vitest';
import { eventually } from '../support/eventually.js';
import { startScriptedSmtp } from '../support/scripted-smtp.js';
import { startSmtpServer } from '../support/smtp-server.js';
import { failure, Gate, mail, send, smtpTransport, subjectOf } from './smtp.js';

afterEach(() => {
  vi.useRealTimers();
});

describe('close()', () => {
  it('says goodbye on idle connections of both lanes', async () => {
    const server = await startScriptedSmtp();
    const transport = smtpTransport(server.url);
    await Promise.all([send(transport), send(transport, mail(), { lane: 'bulk' })]);
    await transport.close(60_000);
    await eventually(() => server.commands.filter((command) => command === 'QUIT').length === 2);
  });

  it('lets messages in flight finish, and refuses those that wait', async () => {
    const gate = new Gate();
    const server = await startSmtpServer({ onData: () => gate.pass() });
    const transport = smtpTransport(server.url, { maxConnections: 1 });
    const first = send(transport, mail('1'));
    await eventually(() => gate.waiting === 1);
    const second = failure(send(transport, mail('2')));

    let closed = false;
    const closing = transport.close(60_000).then(() => (closed = true));
    const refused = {
      outcome: 'not-sent',
      permanent: false,
      scope: 'transport',
      reply: 'The mail transport main is closing',
    };
    expect(await second).toMatchObject(refused);
    expect(closed).toBe(false);

    gate.open();
    expect((await first).accepted).toEqual(['ann@mail.test']);
    await closing;
    expect(await failure(send(transport, mail('3')))).toMatchObject(refused);
    expect(server.received.map(({ raw }) => subjectOf(raw))).toEqual(['1']);
    await eventually(() => server.open === 0);
  });

  it('hangs up on a message that does not finish in time, and tells that it may have been sent', async () => {
    const server = await startScriptedSmtp({ message: () => 'hang' });
    const transport = smtpTransport(server.url);
    const sending = failure(send(transport));
    await eventually(() => server.messages.length === 1);

    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
    let closed = false;
    const closing = transport.close(5_000).then(() => (closed = true));
    await vi.advanceTimersByTimeAsync(4_999);
    expect(closed).toBe(false);
    await vi.advanceTimersByTimeAsync(1);
    await closing;
    expect(await sending).toMatchObject({ phase: 'body', outcome: 'unknown' });
  });

  it('hangs up at once when it has no time at all', async () => {
    const server = await startScriptedSmtp({ mail: () => 'hang' });
    const transport = smtpTransport(server.url);
    const sending = failure(send(transport));
    await eventually(() => server.commands.some((command) => command.startsWith('MAIL')));
    await transport.close(0);
    expect(await sending).toMatchObject({ phase: 'mail', outcome: 'not-sent' });
  });

  it('gives up a connection that is being made', async () => {
    const server = await startScriptedSmtp({ connect: () => 'hang' });
    const transport = smtpTransport(server.url);
    const sending = failure(send(transport));
    await eventually(() => server.connections === 1);
    await transport.close(60_000);
    expect(await sending).toMatchObject({ phase: 'connect', outcome: 'not-sent' });
  });

  it('may be called again', async () => {
    const server = await startSmtpServer();
    const transport = smtpTransport(server.url);
    await send(transport);
    await Promise.all([transport.close(0), transport.close(0)]);
    await transport.close(0);
    await eventually(() => server.open === 0);
  });
});
