import { describe, expect, it } from 'vitest';
import type { Respond, ScriptedAnswer, SmtpScript } from '../support/scripted-smtp.js';
import { startScriptedSmtp } from '../support/scripted-smtp.js';
import { startSmtpServer } from '../support/smtp-server.js';
import { startTcpProxy } from '../support/tcp-proxy.js';
import { eventually } from '../support/eventually.js';
import { failure, mail, send, smtpTransport, subjectOf } from './smtp.js';

async function failureOf(script: SmtpScript, url = (base: string) => base) {
  const server = await startScriptedSmtp(script);
  return failure(send(smtpTransport(url(server.url))));
}

const always = (answer: ScriptedAnswer) => () => answer;
const notSent = { outcome: 'not-sent' };

describe('an answer that refuses', () => {
  const steps: [keyof SmtpScript, string, ScriptedAnswer, object][] = [
    // About the transport, never about the message: the message may pass elsewhere or later.
    ['connect', 'greeting', '421 4.7.0 Try later', { kind: 'busy', scope: 'transport', permanent: false }],
    ['connect', 'greeting', '554 5.7.1 Go away', { kind: 'down', scope: 'transport', permanent: false }],
    ['mail', 'mail', '421 4.7.0 Try later', { kind: 'busy', scope: 'transport', permanent: false }],
    ['mail', 'mail', '451 4.4.2 Busy', { kind: 'busy', scope: 'transport', permanent: false }],
    ['mail', 'mail', '454 4.7.0 Throttled', { kind: 'busy', scope: 'transport', permanent: false }],
    ['mail', 'mail', '503 5.5.1 Bad sequence', { kind: 'down', scope: 'transport', permanent: false }],
    ['mail', 'mail', '530 5.7.0 Must issue STARTTLS first', { kind: 'down', scope: 'transport', permanent: false }],
    // About the sender or the message.
    ['mail', 'mail', '550 5.1.8 Sender refused', { kind: 'message-refused', scope: 'message', permanent: true }],
    ['mail', 'mail', '552 5.3.4 Too large', { kind: 'message-refused', scope: 'message', permanent: true }],
    ['data', 'data', '451 4.3.0 Not now', { kind: 'busy', scope: 'transport', permanent: false }],
    ['data', 'data', '554 5.5.1 No', { kind: 'message-refused', scope: 'message', permanent: true }],
    ['message', 'final', '421 4.3.2 Closing', { kind: 'busy', scope: 'transport', permanent: false }],
    ['message', 'final', '452 4.2.2 Over quota', { kind: 'recipient-deferred', scope: 'message', permanent: false }],
    ['message', 'final', '550 5.1.1 Unknown', { kind: 'recipient-refused', scope: 'message', permanent: true }],
    [
      'message',
      'final',
      '550 5.4.5 Daily sending quota exceeded',
      { kind: 'busy', scope: 'transport', permanent: false },
    ],
    ['message', 'final', '451 4.7.1 Greylisted', { kind: 'greylisted', scope: 'message', permanent: false }],
    ['message', 'final', '452 4.3.1 Disk full', { kind: 'busy', scope: 'transport', permanent: false }],
    ['message', 'final', '554 5.7.1 Spam', { kind: 'message-refused', scope: 'message', permanent: true }],
    // About the only recipient.
    ['rcpt', 'rcpt', '450 4.2.1 Mailbox busy', { kind: 'recipient-deferred', scope: 'recipient', permanent: false }],
    ['rcpt', 'rcpt', '550 5.1.1 Unknown', { kind: 'recipient-refused', scope: 'recipient', permanent: true }],
    ['rcpt', 'rcpt', '552 5.2.2 Over quota', { kind: 'recipient-refused', scope: 'recipient', permanent: true }],
  ];

  describe.each([
    ['with PIPELINING', undefined],
    ['without', []],
  ])('%s', (_, capabilities) => {
    it.each(steps)('at %s (phase %s): %s', async (step, phase, answer, expected) => {
      const error = await failureOf({ [step]: always(answer), ...(capabilities ? { capabilities } : {}) });
      const [code, enhanced] = answer.split(' ');
      expect(error).toMatchObject({ phase, ...notSent, ...expected, replyCode: Number(code), enhancedCode: enhanced });
      expect(error.reply).toBe(answer);
      expect(error.message).toBe(`main at ${phase}: ${answer}`);
    });
  });

  it('may have several lines, which become one', async () => {
    const error = await failureOf({ message: always('554-5.7.1 Not\n554 5.7.1 wanted\u0007') });
    expect(error).toMatchObject({ replyCode: 554, enhancedCode: '5.7.1', permanent: true });
    expect(error.reply).toBe('554-5.7.1 Not 554 5.7.1 wanted');
  });

  it('may be as long as it likes, and is cut', async () => {
    const error = await failureOf({ message: always(`554 5.7.1 ${'x'.repeat(2_000)}`) });
    expect(error.reply.length).toBeLessThanOrEqual(501);
  });

  it('of a login is about the transport and does not tell the password', async () => {
    const login = (url: string) => url.replace('//', '//user:s3cret@');
    const error = await failureOf({ auth: always('535 5.7.8 Bad credentials'), capabilities: ['AUTH PLAIN'] }, login);
    expect(error).toMatchObject({ phase: 'auth', ...notSent, kind: 'down', permanent: false, replyCode: 535 });
    const told = JSON.stringify(error) + error.message + String((error.cause as Error).stack);
    expect(told).not.toContain('s3cret');
    expect(told).not.toContain(Buffer.from('\0user\0s3cret').toString('base64'));
  });
});

describe('recipients', () => {
  const script: SmtpScript = {
    rcpt: (line) => {
      if (line.includes('busy')) return '450 4.2.1 Mailbox busy';
      return line.includes('nobody') ? '550 5.1.1 Unknown' : undefined;
    },
  };
  const busy = {
    address: 'busy@mail.test',
    replyCode: 450,
    enhancedCode: '4.2.1',
    reply: '450 4.2.1 Mailbox busy',
    permanent: false,
    kind: 'recipient-deferred',
  };
  const nobody = {
    address: 'nobody@mail.test',
    replyCode: 550,
    enhancedCode: '5.1.1',
    reply: '550 5.1.1 Unknown',
    permanent: true,
    kind: 'recipient-refused',
  };

  it('that are refused while others are not are told in the acceptance', async () => {
    const server = await startScriptedSmtp({ ...script, message: always('250 2.0.0 Ok: queued as 4711') });
    const to = ['ann@mail.test', 'busy@mail.test', 'bob@mail.test', 'nobody@mail.test'];
    const acceptance = await send(smtpTransport(server.url), mail('1', to));
    expect(acceptance).toMatchObject({
      accepted: ['ann@mail.test', 'bob@mail.test'],
      rejections: [busy, nobody],
      response: '250 2.0.0 Ok: queued as 4711',
    });
    expect(server.messages.map(subjectOf)).toEqual(['1']);
  });

  it('that are all refused are each told in the error, which one that may pass makes transient', async () => {
    const server = await startScriptedSmtp(script);
    const transport = smtpTransport(server.url);
    for (const to of [
      ['busy@mail.test', 'nobody@mail.test'],
      ['nobody@mail.test', 'busy@mail.test'],
    ]) {
      const error = await failure(send(transport, mail('1', to)));
      expect(error).toMatchObject({ phase: 'rcpt', ...notSent, scope: 'recipient', permanent: false });
      expect(error.rejections.map(({ address }) => address)).toEqual(to);
      expect(error.rejections).toEqual(expect.arrayContaining([busy, nobody]));
    }
    const error = await failure(send(transport, mail('1', ['nobody@mail.test'])));
    expect(error).toMatchObject({ permanent: true, kind: 'recipient-refused', rejections: [nobody] });
  });

  it('of whom one is refused for what the sender has had already may pass, and the error tells that', async () => {
    const limited = '550 5.4.5 Daily user sending quota exceeded.';
    const server = await startScriptedSmtp({
      rcpt: (line) => (line.includes('ann') ? limited : '550 5.1.1 Unknown'),
    });
    const error = await failure(send(smtpTransport(server.url), mail('1', ['ann@mail.test', 'nobody@mail.test'])));
    expect(error).toMatchObject({ kind: 'busy', scope: 'transport', permanent: false, replyCode: 550, reply: limited });
    expect(error.rejections).toMatchObject([{ kind: 'busy', permanent: false }, nobody]);
  });

  it('that are too many for one message are put off, not refused', async () => {
    const server = await startScriptedSmtp({
      rcpt: (line) => (line.includes('bob') ? '552 Too many recipients' : undefined),
    });
    const acceptance = await send(smtpTransport(server.url), mail('1', ['ann@mail.test', 'bob@mail.test']));
    expect(acceptance.rejections).toMatchObject([{ kind: 'recipient-deferred', permanent: false }]);
  });

  it('are several of whom an answer to the body names none', async () => {
    const server = await startScriptedSmtp({ message: always('550 5.1.1 Unknown') });
    const error = await failure(send(smtpTransport(server.url), mail('1', ['ann@mail.test', 'bob@mail.test'])));
    expect(error).toMatchObject({ phase: 'final', kind: 'message-refused', scope: 'message', permanent: true });
  });
});

describe('a message larger than the server takes', () => {
  it('is a permanent failure of that message, told before anything is sent, and the connection goes on', async () => {
    const server = await startScriptedSmtp({ capabilities: ['PIPELINING', 'SIZE 1000'] });
    const transport = smtpTransport(server.url, { maxConnections: 1 });
    const error = await failure(send(transport, mail('x'.repeat(1_000))));
    expect(error).toMatchObject({
      phase: 'mail',
      ...notSent,
      kind: 'message-refused',
      scope: 'message',
      permanent: true,
    });
    expect(error.reply).toContain('1000');
    await send(transport, mail('small'));
    expect(server.connections).toBe(1);
    expect(server.messages.map(subjectOf)).toEqual(['small']);
  });
});

describe('a connection that breaks', () => {
  it.each<[string, SmtpScript, object]>([
    ['before the greeting', { connect: always('drop') }, { phase: 'connect' }],
    ['at EHLO', { ehlo: always('drop') }, { phase: 'connect' }],
    ['at MAIL', { mail: always('drop') }, { phase: 'mail' }],
    ['at RCPT', { rcpt: always('drop') }, { phase: 'mail' }],
    ['at DATA', { data: always('drop') }, { phase: 'mail' }],
  ])('%s has sent nothing', async (_, script, expected) => {
    const error = await failureOf(script);
    expect(error).toMatchObject({ ...expected, ...notSent, kind: 'down', scope: 'transport', permanent: false });
    expect(error.replyCode).toBeUndefined();
    expect(error.reply).not.toBe('');
  });

  it('at login has sent nothing', async () => {
    const script = { auth: always('drop'), capabilities: ['AUTH PLAIN'] };
    const error = await failureOf(script, (url) => url.replace('//', '//user:s3cret@'));
    expect(error).toMatchObject({ phase: 'auth', ...notSent, scope: 'transport' });
  });

  it('after the final dot, before the answer, may have sent it', async () => {
    const server = await startSmtpServer();
    const proxy = await startTcpProxy(server.url);
    const cut = proxy.cutAfter('\r\n.\r\n');
    const error = await failure(send(smtpTransport(`smtp://127.0.0.1:${proxy.port}`)));
    await cut;
    expect(error).toMatchObject({ phase: 'body', outcome: 'unknown', kind: 'unknown', scope: 'message' });
    await eventually(() => server.received.length === 1);
  });

  it('after the final dot is not sent again over another connection', async () => {
    const server = await startSmtpServer();
    const proxy = await startTcpProxy(server.url);
    const transport = smtpTransport(`smtp://127.0.0.1:${proxy.port}`);
    await send(transport, mail('1'));
    const cut = proxy.cutAfter('\r\n.\r\n');
    expect(await failure(send(transport, mail('2')))).toMatchObject({ phase: 'body', outcome: 'unknown' });
    await cut;
    await eventually(() => server.received.length === 2);
    expect(proxy.connections).toBe(1);
  });

  it('in the middle of the body may have sent it, for all we know', async () => {
    const server = await startSmtpServer();
    const proxy = await startTcpProxy(server.url);
    const cut = proxy.cutAfter('MIDDLE');
    const transport = smtpTransport(`smtp://127.0.0.1:${proxy.port}`);
    const error = await failure(send(transport, mail(`1\r\n\r\nMIDDLE${'x'.repeat(100_000)}`)));
    await cut;
    expect(error).toMatchObject({ phase: 'body', outcome: 'unknown' });
    expect(server.received).toEqual([]);
  });

  it('is not even made when nobody listens', async () => {
    const server = await startSmtpServer();
    server.pause();
    const error = await failure(send(smtpTransport(server.url)));
    expect(error).toMatchObject({ phase: 'connect', ...notSent, scope: 'transport', permanent: false });
    expect(error.message).toContain('ECONNREFUSED');
  });
});

describe('a server that falls silent', () => {
  async function abortWhenSilent(step: keyof SmtpScript) {
    let silent = false;
    const hang: Respond = (_, connection) => {
      if (connection > 1) return undefined;
      silent = true;
      return 'hang';
    };
    const server = await startScriptedSmtp({ [step]: hang });
    const transport = smtpTransport(server.url);
    const controller = new AbortController();
    const sending = failure(send(transport, mail(), { signal: controller.signal }));
    await eventually(() => silent);
    controller.abort(new Error('Time is up'));
    return { error: await sending, server, transport };
  }

  it.each([
    ['connect', 'connect'],
    ['ehlo', 'connect'],
    ['mail', 'mail'],
    ['rcpt', 'mail'],
    ['data', 'mail'],
  ] as const)('at %s has not been sent the message when the signal aborts', async (step, phase) => {
    const { error } = await abortWhenSilent(step);
    expect(error).toMatchObject({ phase, ...notSent, permanent: false, reply: 'Time is up' });
  });

  it('after the message may have it', async () => {
    const { error } = await abortWhenSilent('message');
    expect(error).toMatchObject({ phase: 'body', outcome: 'unknown', permanent: false, reply: 'Time is up' });
  });

  it('is hung up on, and the next message takes another connection', async () => {
    const { server, transport } = await abortWhenSilent('message');
    await send(transport);
    expect(server.connections).toBe(2);
    expect(server.commands).not.toContain('RSET');
  });

  it('keeps a message that waits in line from being sent', async () => {
    const server = await startScriptedSmtp({ message: always('hang') });
    const transport = smtpTransport(server.url, { maxConnections: 1 });
    void send(transport).catch(() => undefined);
    await eventually(() => server.messages.length === 1);
    const error = await failure(send(transport, mail(), { signal: AbortSignal.timeout(10) }));
    expect(error).toMatchObject({ phase: 'queue', ...notSent, scope: 'transport', permanent: false });
  });

  it('is hung up on after bodyTimeout once it has the message', async () => {
    const server = await startScriptedSmtp({ message: always('hang') });
    const error = await failure(send(smtpTransport(server.url, { bodyTimeout: 50 })));
    expect(error).toMatchObject({ phase: 'body', outcome: 'unknown' });
  });

  it.each<[string, SmtpScript, string]>([
    ['the greeting', { connect: always('hang') }, 'connect'],
    ['EHLO', { ehlo: always('hang') }, 'connect'],
    ['the login', { auth: always('hang'), capabilities: ['AUTH PLAIN'] }, 'auth'],
  ])('is hung up on at %s', async (_, script, phase) => {
    const server = await startScriptedSmtp(script);
    const transport = smtpTransport(server.url.replace('//', '//user:s3cret@'), {
      connectTimeout: 50,
      commandTimeout: 50,
    });
    expect(await failure(send(transport))).toMatchObject({ phase, ...notSent, scope: 'transport', permanent: false });
  });

  it('is not even asked when the signal has aborted before', async () => {
    const server = await startSmtpServer();
    const error = await failure(
      send(smtpTransport(server.url), mail(), { signal: AbortSignal.abort(new Error('Late')) }),
    );
    expect(error).toMatchObject({ phase: 'queue', ...notSent, reply: 'Late' });
    expect(server.connections).toBe(0);
  });
});
