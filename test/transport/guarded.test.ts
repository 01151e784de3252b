import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import type { Probe } from '../../src/transport/probe.js';
import { RateLimit } from '../../src/transport/rate-limit.js';
import { notAsked, type TransportError } from '../../src/transport/transport.js';
import { guarded } from './routes.js';
import { failure, Gate } from './smtp.js';
import { downStub, guardedStub, NOW, StubTransport, trouble } from './stub.js';

beforeEach(() => {
  vi.useFakeTimers({ now: NOW });
});
afterEach(() => {
  vi.useRealTimers();
});

const refused = { phase: 'queue', outcome: 'not-sent', permanent: false, scope: 'transport' };

describe('what a failure says about the transport', () => {
  type Case = [name: string, error: () => TransportError, lane?: 'bulk'];
  const permanent = { permanent: true, scope: 'message' } as const;
  const cases: Record<'down' | 'works' | 'unclear', Case[]> = {
    down: [
      ['nobody listens', () => trouble()],
      ['it refuses at the greeting', () => trouble({ phase: 'greeting', replyCode: 554 })],
      ['its certificate is not trusted', () => trouble({ phase: 'tls' })],
      ['it refuses the login', () => trouble({ phase: 'auth', replyCode: 535 })],
      ['it breaks off before the message', () => trouble({ phase: 'mail' })],
      ['it does not answer after the message', () => trouble({ phase: 'body', outcome: 'unknown', scope: 'message' })],
      [
        'it does not say whether it took the message',
        () => trouble({ phase: 'final', outcome: 'unknown', scope: 'message', answered: true }),
      ],
      ['it says 421 to a priority mail', () => trouble({ phase: 'mail', replyCode: 421 })],
      ['it refuses the login of bulk mail', () => trouble({ phase: 'auth', replyCode: 535 }), 'bulk'],
    ],
    works: [
      [
        'it refuses the recipient',
        () => trouble({ phase: 'rcpt', replyCode: 550, permanent: true, scope: 'recipient' }),
      ],
      ['it puts the recipient off', () => trouble({ phase: 'rcpt', replyCode: 450, scope: 'recipient' })],
      ['it refuses the message', () => trouble({ phase: 'final', replyCode: 554, ...permanent })],
      ['it puts the message off', () => trouble({ phase: 'final', replyCode: 451, scope: 'message' })],
      ['it throttles', () => trouble({ phase: 'mail', replyCode: 454 })],
      ['the message is larger than it takes', () => trouble({ phase: 'mail', ...permanent })],
    ],
    unclear: [
      ['no connection was free', () => notAsked('main', 'No connection was ready within 5 ms')],
      ['it says 421 to bulk mail', () => trouble({ phase: 'mail', replyCode: 421 }), 'bulk'],
      ['it greets bulk mail with 421', () => trouble({ phase: 'greeting', replyCode: 421 }), 'bulk'],
    ],
  };

  /** Two failures, then this one. */
  async function after(error: TransportError, lane?: 'bulk') {
    const { stub, guard, send, told } = guardedStub();
    stub.onVerify = () => new Promise(() => undefined);
    stub.onSend = () => Promise.reject(trouble());
    for (let count = 0; count < 2; count++) await failure(send());
    stub.onSend = () => Promise.reject(error);
    expect(await failure(send(lane))).toBe(error);
    return { circuit: guard.standing.circuit, told };
  }

  it.each(cases.down)('%s: it is down', async (_, error, lane) => {
    const { circuit, told } = await after(error(), lane);
    expect(circuit).toMatchObject({ state: 'open', reason: error().message });
    expect(told).toHaveLength(1);
  });

  it.each(cases.works)('%s: it works', async (_, error, lane) => {
    expect((await after(error(), lane)).circuit).toEqual({ state: 'closed', failures: 0 });
  });

  it.each(cases.unclear)('%s: nothing', async (_, error, lane) => {
    expect((await after(error(), lane)).circuit).toEqual({ state: 'closed', failures: 2 });
  });

  it('is shared by all sends, and those of both lanes count', async () => {
    const { stub, guard, send } = guardedStub();
    stub.onSend = () => Promise.reject(trouble());
    await Promise.all([failure(send('bulk')), failure(send()), failure(send('bulk'))]);
    expect(guard.standing).toMatchObject({
      circuit: { state: 'open' },
      lastError: { at: new Date(NOW), error: 'main at connect: connect ECONNREFUSED' },
    });
  });

  it('is nothing when the rate limit holds a message back', async () => {
    const { guard, send, stub } = guardedStub(new RateLimit('main', { messages: 1, per: 60_000, reserve: 0 }));
    await send();
    for (let count = 0; count < 3; count++) await failure(send('priority', { handoverWithin: 1_000 }));
    expect(guard.standing.circuit).toEqual({ state: 'closed', failures: 0 });
    expect(stub.sends).toBe(1);
  });

  it('is nothing once it is closing', async () => {
    const { stub, guard, send, told } = guardedStub();
    stub.onSend = () => Promise.reject(trouble());
    await guard.close(0);
    for (let count = 0; count < 3; count++) await failure(send());
    expect(told).toEqual([]);
    expect(vi.getTimerCount()).toBe(0);
  });

  it('is remembered of a refused login until one succeeds', async () => {
    const { stub, guard, send } = guardedStub();
    stub.onSend = () => Promise.reject(trouble({ phase: 'auth', replyCode: 535 }));
    await failure(send());
    expect(guard.loginRefused).toBe(true);
    stub.onSend = () => Promise.resolve();
    await send();
    expect(guard.loginRefused).toBe(false);
  });
});

describe('while the circuit is open', () => {
  it('bulk mail is refused at once, and told when to come again', async () => {
    const { stub, send } = await downStub();
    const error = await failure(send('bulk'));
    expect(error).toMatchObject({ ...refused, retryAt: NOW + 1_000 });
    expect(error.reply).toBe(
      'It is down and not asked for now. Its last failure: main at connect: connect ECONNREFUSED',
    );
    expect(stub.sends).toBe(0);
  });

  it('a priority mail is the probe, and closes the circuit by being sent', async () => {
    const { stub, guard, send } = await downStub();
    stub.onSend = () => Promise.resolve();
    expect(await send()).toMatchObject({ response: '250 Ok' });
    expect(guard.standing.circuit.state).toBe('closed');
    await send('bulk');
    expect(stub.sends).toBe(2);
  });

  it.each(['at once', 'later'])('others that come %s wait for that one probe, and follow it', async (when) => {
    const { stub, send } = await downStub();
    const gate = new Gate();
    stub.onSend = () => gate.pass();
    const first = send();
    if (when === 'later') await vi.advanceTimersByTimeAsync(100);
    const others = [send(), send()];
    await vi.advanceTimersByTimeAsync(100);
    expect(stub.sends).toBe(1);
    // Bulk mail does not wait.
    expect(await failure(send('bulk'))).toMatchObject({ ...refused, retryAt: Date.now() + 1_000 });
    gate.open();
    await Promise.all([first, ...others]);
    expect(stub.sends).toBe(3);
  });

  it('others are refused with the probe when it fails', async () => {
    const { stub, guard, send } = await downStub();
    let refuse!: (error: Error) => void;
    stub.onSend = () => new Promise((_, reject) => (refuse = reject));
    const all = [failure(send()), failure(send()), failure(send())];
    await vi.advanceTimersByTimeAsync(300);
    refuse(trouble({ phase: 'greeting', reply: '554 Go away', replyCode: 554 }));
    const [probe, ...others] = await Promise.all(all);
    expect(probe).toMatchObject({ phase: 'greeting' });
    const until = NOW + 300 + 2_000;
    for (const other of others) expect(other).toMatchObject({ ...refused, retryAt: until });
    expect(others[0]!.reply).toContain('554 Go away');
    expect(stub.sends).toBe(1);
    expect(guard.standing.circuit).toMatchObject({ state: 'open', until, openings: 2, since: NOW });
  });

  it('others wait for the probe no longer than they may', async () => {
    const { stub, send } = await downStub();
    stub.onSend = () => new Promise(() => undefined);
    void send();
    const gone = new AbortController();
    const [late, aborted] = [
      failure(send('priority', { handoverWithin: 500 })),
      failure(send('priority', { signal: gone.signal })),
    ];
    await vi.advanceTimersByTimeAsync(499);
    gone.abort(new Error('Time is up'));
    await aborted;
    expect(await Promise.race([late, Promise.resolve('waiting')])).toBe('waiting');
    await vi.advanceTimersByTimeAsync(1);
    expect(await late).toMatchObject({ ...refused, retryAt: Date.now() + 1_000 });
    expect(stub.sends).toBe(1);
  });

  it('the time that was waited is no longer there for the message', async () => {
    const { stub, send } = await downStub();
    const within: unknown[] = [];
    const gate = new Gate();
    stub.onSend = ({ handoverWithin }) => (within.push(handoverWithin), gate.pass());
    const both = [send('priority', { handoverWithin: 900 }), send('priority', { handoverWithin: 800 })];
    await vi.advanceTimersByTimeAsync(300);
    gate.open();
    await Promise.all(both);
    expect(within).toEqual([900, 500]);
  });

  it('a probe that learns nothing leaves it open, and others may probe', async () => {
    const { stub, guard, send } = await downStub();
    stub.onSend = () => Promise.reject(notAsked('main', 'No connection was ready within 5 ms'));
    await failure(send());
    expect(guard.standing.circuit).toMatchObject({ state: 'open', reason: 'main at connect: connect ECONNREFUSED' });
    stub.onSend = () => Promise.resolve();
    await send();
    expect(guard.standing.circuit.state).toBe('closed');
  });

  it('a probe is not disturbed by the background check, however long it takes', async () => {
    const { stub, guard, send } = await downStub();
    const gate = new Gate();
    stub.onSend = () => gate.pass();
    const sending = send();
    await vi.advanceTimersByTimeAsync(10_000);
    gate.open();
    await sending;
    await vi.advanceTimersByTimeAsync(600_000);
    expect(stub.checks).toBe(0);
    expect(guard.standing.circuit.state).toBe('closed');
  });

  it('a probe counts as one of the messages of the rate limit', async () => {
    const { stub, send } = await downStub(new RateLimit('main', { messages: 4, per: 60_000, reserve: 0 }));
    stub.onSend = () => Promise.resolve();
    await send();
    expect(await failure(send('priority', { handoverWithin: 1_000 }))).toMatchObject(refused);
    expect(stub.sends).toBe(1);
  });
});

it('measures messages where the transport does not tell its round trips', async () => {
  const { stub, guard, send } = guardedStub();
  expect(guard.standing.latency).toBeUndefined();
  stub.onSend = async () => void vi.advanceTimersByTime(40);
  await send();
  expect(guard.standing.latency).toBe(40);
});

describe('a message that has waited for its turn', () => {
  it('is not sent when it is no longer wanted', async () => {
    const { stub, send } = guardedStub(new RateLimit('main', { messages: 1, per: 1_000, reserve: 0 }));
    await send('bulk');
    let wanted = true;
    const sending = failure(send('bulk', { stillWanted: () => wanted }));
    wanted = false;
    await vi.advanceTimersByTimeAsync(2_000);
    expect(await sending).toMatchObject({ ...refused, reply: 'It was no longer wanted' });
    expect(stub.sends).toBe(1);
  });

  it('has so much less time', async () => {
    const { stub, send } = guardedStub(new RateLimit('main', { messages: 1, per: 1_000, reserve: 0 }));
    await send();
    const within: (number | undefined)[] = [];
    stub.onSend = async ({ handoverWithin }) => void within.push(handoverWithin);
    const sending = send('priority', { handoverWithin: 5_000 });
    await vi.advanceTimersByTimeAsync(4_000);
    await sending;
    expect(within).toEqual([expect.closeTo(5_000 - 1_020, 0)]);
  });
});

it('is watched by the probe that the transport brings itself', async () => {
  const calls: string[] = [];
  const probe: Probe = {
    load: { state: 'overloaded', reason: 'its own affair' },
    admits: false,
    start: () => Promise.resolve(void calls.push('start')),
    stop: () => void calls.push('stop'),
  };
  const guard = guarded(Object.assign(new StubTransport(), { probe }));
  await guard.start();
  expect(guard.standing.load).toEqual(probe.load);
  expect(guard.admitsBulk).toBe(false);
  await guard.close(0);
  expect(calls).toEqual(['start', 'stop']);
});
