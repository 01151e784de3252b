import { describe, expect, it } from 'vitest';
import { deliver } from '../../src/delivery/deliver.js';
import { MailDeliveryError } from '../../src/errors.js';
import { TransportError, type Transport } from '../../src/transport/transport.js';
import { Mailbox } from '../../src/testing/mailbox.js';
import { eventually } from '../support/eventually.js';
import { startScriptedSmtp, type ScriptedAnswer, type SmtpScript } from '../support/scripted-smtp.js';
import { mail, smtpTransport } from '../transport/smtp.js';

const always = (answer: ScriptedAnswer) => () => answer;

/** Two servers, the first of which follows a script, and the route over both. */
async function startTwo(script: SmtpScript) {
  const servers = [await startScriptedSmtp(script), await startScriptedSmtp()] as const;
  const route = [
    smtpTransport(servers[0].url, { name: 'first' }),
    smtpTransport(servers[1].url, { name: 'second' }),
  ] as const;
  return { servers, route };
}

const stub = ({ name, lanes, maxConnections }: Transport): Omit<Transport, 'send'> => ({
  name,
  lanes,
  maxConnections,
  verify: () => Promise.resolve(),
  close: () => Promise.resolve(),
});

const send = (route: readonly Transport[], signal = new AbortController().signal) =>
  deliver(mail(), route, { id: 'p_1', lane: 'priority', signal });

async function failure(delivery: Promise<unknown>): Promise<MailDeliveryError> {
  const result: unknown = await delivery.then(
    () => new Error('It was delivered'),
    (error: unknown) => error,
  );
  if (result instanceof MailDeliveryError) return result;
  throw result;
}

describe('deliver', () => {
  it('takes the first transport that takes the message', async () => {
    const { servers, route } = await startTwo({});
    expect(await send(route)).toMatchObject({ transport: 'first', accepted: ['ann@mail.test'] });
    expect(servers[1].connections).toBe(0);
  });

  it.each<[string, SmtpScript]>([
    ['refuses the connection', { connect: always('554 5.7.1 Go away') }],
    ['drops the connection', { connect: always('drop') }],
    ['drops it at DATA, before the body', { data: always('drop') }],
    ['needs a login', { mail: always('530 5.7.0 Authentication required') }],
    ['is busy at MAIL', { mail: always('451 4.3.0 Busy') }],
    ['is busy at RCPT', { rcpt: always('450 4.2.1 Mailbox busy') }],
    ['is busy at DATA', { data: always('451 4.3.0 Busy') }],
    ['is busy after the body', { message: always('451 4.7.1 Greylisted') }],
    ['closes after the body', { message: always('421 4.3.2 Closing') }],
  ])('goes on to the next when the first %s', async (_, script) => {
    const { servers, route } = await startTwo(script);
    expect(await send(route)).toMatchObject({ transport: 'second', accepted: ['ann@mail.test'] });
    expect(servers[1].messages).toHaveLength(1);
  });

  it('goes on to no other when the message may have become another worker’s meanwhile', async () => {
    const { servers, route } = await startTwo({ connect: always('drop') });
    let held = true;
    const options = { id: 'b.1', lane: 'bulk', signal: new AbortController().signal, mayHandOver: () => held } as const;
    const [first, second] = route;
    const late: Transport = {
      ...stub(first),
      send: async (...args) => {
        held = false;
        return first.send(...args);
      },
    };
    await failure(deliver(mail(), [late, second], options));
    expect(servers[1].connections).toBe(0);
  });

  it.each<[string, SmtpScript, string]>([
    ['the sender', { mail: always('550 5.1.8 Sender refused') }, 'mail'],
    ['every recipient', { rcpt: always('550 5.1.1 Unknown') }, 'rcpt'],
    ['the message at DATA', { data: always('554 5.6.0 No') }, 'data'],
    ['the message', { message: always('554 5.7.1 Spam') }, 'final'],
    ['its size', { capabilities: ['SIZE 10'] }, 'mail'],
  ])('never shops around when the first refused %s for good', async (_, script, phase) => {
    const { servers, route } = await startTwo(script);
    const error = await failure(send(route));
    expect(error).toMatchObject({ id: 'p_1', permanent: true, outcome: 'not-sent' });
    expect(error.attempts).toMatchObject([{ transport: 'first', phase, outcome: 'not-sent', permanent: true }]);
    expect(servers[1].connections).toBe(0);
  });

  it('never sends again what may have been accepted', async () => {
    const { servers, route } = await startTwo({ message: always('drop') });
    const error = await failure(send(route));
    expect(error).toMatchObject({ permanent: false, outcome: 'unknown' });
    expect(error.attempts).toMatchObject([{ transport: 'first', phase: 'body', outcome: 'unknown' }]);
    expect(error.message).toContain('it may have been accepted');
    expect(servers[1].connections).toBe(0);
  });

  it('takes a partial acceptance for what it is', async () => {
    const { servers, route } = await startTwo({
      rcpt: (line) => (line.includes('bob') ? '450 4.2.1 Busy' : undefined),
    });
    const outgoing = mail('1', ['ann@mail.test', 'bob@mail.test']);
    const delivery = await deliver(outgoing, route, {
      id: 'p_1',
      lane: 'priority',
      signal: new AbortController().signal,
    });
    expect(delivery).toMatchObject({
      transport: 'first',
      accepted: ['ann@mail.test'],
      rejections: [{ address: 'bob@mail.test' }],
    });
    expect(servers[1].connections).toBe(0);
  });

  it('tells every attempt when none succeeded', async () => {
    const first = await startScriptedSmtp({ connect: always('421 4.3.2 Closed') });
    const second = await startScriptedSmtp({ message: always('452 4.3.1 Disk full') });
    const route = [smtpTransport(first.url, { name: 'first' }), smtpTransport(second.url, { name: 'second' })];
    const error = await failure(send(route));
    expect(error).toMatchObject({ permanent: false, outcome: 'not-sent', code: 'DELIVERY' });
    expect(error.attempts).toEqual([
      {
        transport: 'first',
        phase: 'greeting',
        outcome: 'not-sent',
        permanent: false,
        replyCode: 421,
        enhancedCode: '4.3.2',
        reply: '421 4.3.2 Closed',
        duration: expect.any(Number) as number,
      },
      expect.objectContaining({ transport: 'second', phase: 'final', replyCode: 452, reply: '452 4.3.1 Disk full' }),
    ]);
    expect(error.message).toBe(
      'Message p_1 was not delivered. first at greeting: 421 4.3.2 Closed. second at final: 452 4.3.1 Disk full.',
    );
    expect(error.cause).toBeInstanceOf(TransportError);
  });

  it('remembers an answer about the message when a later transport only had trouble', async () => {
    const { servers, route } = await startTwo({ rcpt: always('450 4.2.1 Mailbox busy') });
    servers[1].stop();
    const error = await failure(send(route));
    expect(error.attempts).toMatchObject([{ phase: 'rcpt' }, { phase: 'connect' }]);
    expect(error.cause).toMatchObject({ phase: 'rcpt', scope: 'recipient', replyCode: 450 });
  });

  it('ends with the signal, and does not go on to the next', async () => {
    const { servers, route } = await startTwo({ mail: always('hang') });
    const controller = new AbortController();
    const sending = failure(send(route, controller.signal));
    await eventually(() => servers[0].commands.length > 1);
    controller.abort(new Error('Time is up'));
    const error = await sending;
    expect(error.attempts).toMatchObject([
      { transport: 'first', phase: 'mail', reply: 'Time is up', outcome: 'not-sent' },
    ]);
    expect(servers[1].connections).toBe(0);
  });

  it('does not know what a transport with a bug has done', async () => {
    const { servers, route } = await startTwo({});
    const buggy = new Mailbox('buggy');
    buggy.send = () => Promise.reject(new TypeError('x is undefined'));
    const error = await failure(send([buggy, route[1]]));
    expect(error.attempts).toMatchObject([
      { transport: 'buggy', outcome: 'unknown', permanent: false, reply: 'x is undefined' },
    ]);
    expect(servers[1].connections).toBe(0);
  });
});
