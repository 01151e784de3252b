import { afterEach, describe, expect, it, vi } from 'vitest';
import { eventually } from '../support/eventually.js';
import type { ScriptedAnswer } from '../support/scripted-smtp.js';
import { Gate } from '../transport/smtp.js';
import { Scene, type SceneOptions } from './scene.js';

const DEADLINE = '3s';

afterEach(() => {
  vi.useRealTimers();
});

/** With a connection that has carried a message and rests. */
async function startWarm(count: 1 | 2, options: SceneOptions = {}): Promise<Scene> {
  const scene = await Scene.start(count, options);
  expect(await scene.send('before')).toBe('first');
  return scene;
}

const KEPT: [string, SceneOptions][] = [
  ['minWarm: 0', { transport: { minWarm: 0 } }],
  ['minWarm: 1', { transport: { minWarm: 1 } }],
  ['maxConnections: 1', { transport: { maxConnections: 1 } }],
];

/** Resolves when a NOOP has come that is answered like this. */
async function nextNoop({ first }: Scene, answer: ScriptedAnswer): Promise<void> {
  let come = false;
  first.script.noop = () => {
    come = true;
    return answer;
  };
  await eventually(() => come);
}

describe.concurrent.each(KEPT)('a kept connection (%s)', (_, { transport }) => {
  it('that has died without a word is replaced', async () => {
    const scene = await startWarm(1, { transport, priority: { timeout: DEADLINE } });
    scene.first.line.freezeOpen();
    expect(await scene.send('struck')).toBe('first');
    expect(await scene.send('after')).toBe('first');
    // What the dead one still holds comes in late, and is no message.
    scene.first.line.thaw();
    await scene.end({ before: 1, struck: 1, after: 1 });
  });

  it('that has died without a word is replaced where there is another transport', async () => {
    const scene = await startWarm(2, { transport, priority: { timeout: DEADLINE } });
    scene.first.line.freezeOpen();
    expect(await scene.send('struck')).toBe('first');
    scene.first.line.thaw();
    await scene.end({ before: [1, 0], struck: [1, 0] });
  });

  it('that dies with a NOOP under way is replaced', async () => {
    const scene = await startWarm(1, {
      transport: { ...transport, keepAlive: 50 },
      priority: { timeout: DEADLINE },
    });
    await nextNoop(scene, 'hang');
    expect(await scene.send('struck')).toBe('first');
    await scene.first.mend();
    expect(await scene.send('after')).toBe('first');
    await scene.end({ before: 1, struck: 1, after: 1 });
  });

  it.each<ScriptedAnswer>(['421 4.4.2 Idle for too long', '500 5.5.2 What?', 'drop'])(
    'whose NOOP is answered by %s is replaced',
    async (answer) => {
      const scene = await startWarm(1, { transport: { ...transport, keepAlive: 50 } });
      await nextNoop(scene, answer);
      expect(await scene.send('struck')).toBe('first');
      await scene.first.mend();
      expect(await scene.send('after')).toBe('first');
      await scene.end({ before: 1, struck: 1, after: 1 });
    },
  );

  it.each(['at rest', 'as the next message begins'])('that the server ends with a 421 %s is replaced', async (when) => {
    const scene = await startWarm(1, { transport });
    const { minWarm = 1 } = transport!;
    scene.first.dismiss('421 4.4.2 Idle for too long');
    const { first } = scene;
    if (when === 'at rest') await eventually(() => (minWarm ? first.connections > 1 : first.line.open === 0));
    expect(await scene.send('struck')).toBe('first');
    expect(await scene.send('after')).toBe('first');
    await scene.end({ before: 1, struck: 1, after: 1 });
  });

  it.each<ScriptedAnswer>(['421 4.3.2 Closing', '500 5.5.2 What?', 'drop', 'hang'])(
    'that is cleaned up after a refused message, which is answered by %s, is replaced',
    async (answer) => {
      const scene = await startWarm(1, { transport, priority: { timeout: DEADLINE } });
      scene.first.script.rcpt = () => '450 4.2.1 Mailbox busy';
      scene.first.script.rset = () => answer;
      await scene.failure('refused');
      await eventually(() => scene.first.commands.includes('RSET'));
      delete scene.first.script.rcpt;
      expect(await scene.send('after')).toBe('first');
      await scene.end({ before: 1, refused: 0, after: 1 });
    },
  );
});

describe('a kept connection that has died without a word', () => {
  it.each([
    ['500ms', 500],
    ['2s', 2_000],
    ['10s', 10_000],
  ] as const)('leaves a fresh one almost half of %s', async (timeout, milliseconds) => {
    const scene = await startWarm(1, { priority: { timeout } });
    scene.first.line.freezeOpen();
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
    const sent: string[] = [];
    void scene.send('struck').then((transport) => sent.push(transport));
    // That of all, and that of the connection.
    await eventually(() => vi.getTimerCount() === 2);
    await vi.advanceTimersByTimeAsync(0.6 * milliseconds);
    await eventually(() => expect(sent).toEqual(['first']));
    vi.useRealTimers();
    scene.first.line.thaw();
    await scene.end({ before: 1, struck: 1 });
  });
});

describe.concurrent('a lost connection', () => {
  it.each([5, 1])('whose replacement hangs while it is opened fails no message (of %i)', async (maxConnections) => {
    const scene = await startWarm(1, { transport: { maxConnections }, priority: { timeout: DEADLINE } });
    let hung = 0;
    scene.first.script.connect = () => (hung++ === 0 ? 'hang' : undefined);
    scene.first.line.cut();
    await eventually(() => hung === 1);
    expect(await scene.send('struck')).toBe('first');
    expect(await scene.send('after')).toBe('first');
    await scene.end({ before: 1, struck: 1, after: 1 });
  });
});

describe.concurrent('several kept connections', () => {
  it('that have all died without a word fail none of as many messages', async () => {
    const scene = await Scene.start(1, { transport: { minWarm: 3 }, priority: { timeout: DEADLINE } });
    const subjects = ['1', '2', '3'];
    const gate = new Gate();
    scene.first.script.message = () => gate.pass().then(() => undefined);
    const first = subjects.map((subject) => scene.send(subject));
    await eventually(() => gate.waiting === 3);
    gate.open();
    await Promise.all(first);
    scene.first.line.freezeOpen();
    const transports = await Promise.all(subjects.map((subject) => scene.send(`again ${subject}`)));
    expect(transports).toEqual(['first', 'first', 'first']);
    scene.first.line.thaw();
    await scene.end({ '1': 1, '2': 1, '3': 1, 'again 1': 1, 'again 2': 1, 'again 3': 1 });
  });

  it('that have all died without a word cost one message no more than one of them would', async () => {
    const scene = await Scene.start(1, { transport: { minWarm: 5 }, priority: { timeout: DEADLINE } });
    scene.first.line.freezeOpen();
    expect(await scene.send('struck')).toBe('first');
    scene.first.line.thaw();
    await scene.end({ struck: 1 });
  });
});

describe.concurrent('an answer that comes too late', () => {
  it.each([
    ['to MAIL', 'mail', 1],
    ['to DATA', 'data', 1],
    ['to the message', 'message', 0],
  ] as const)('%s does not confuse the next message', async (_, step, elsewhere) => {
    const scene = await startWarm(2, { priority: { timeout: DEADLINE } });
    const gate = new Gate();
    scene.first.script[step] = () => gate.pass().then(() => undefined);
    if (elsewhere) expect(await scene.send('struck')).toBe('second');
    else expect(await scene.failure('struck')).toMatchObject({ outcome: 'unknown', attempts: [{ phase: 'body' }] });
    delete scene.first.script[step];

    // While one message is on its way, and before another.
    const held = new Gate();
    scene.first.script.message = (raw) =>
      raw.includes('Subject: held') ? held.pass().then(() => undefined) : undefined;
    const sending = scene.send('held');
    await eventually(() => held.waiting === 1);
    gate.open();
    expect(await scene.send('after')).toBe('first');
    held.open();
    expect(await sending).toBe('first');
    await scene.end({ before: [1, 0], struck: elsewhere ? [0, 1] : [1, 0], held: [1, 0], after: [1, 0] });
  });

  it('as a greeting makes a connection for the next message', async () => {
    const scene = await Scene.start(1, { transport: { minWarm: 0 }, priority: { timeout: DEADLINE } });
    const gate = new Gate();
    scene.first.script.connect = () => gate.pass().then(() => undefined);
    expect(await scene.failure('struck')).toMatchObject({ outcome: 'not-sent', attempts: [{ phase: 'connect' }] });
    gate.open();
    expect(await scene.send('after')).toBe('first');
    await scene.end({ struck: 0, after: 1 });
  });

  it('with retryUnknown leaves a copy with both, under one Message-ID', async () => {
    const scene = await startWarm(2, { priority: { timeout: DEADLINE, retryUnknown: true } });
    const gate = new Gate();
    scene.first.script.message = () => gate.pass().then(() => undefined);
    expect(await scene.send('struck')).toBe('second');
    gate.open();
    await scene.first.mend();
    expect(await scene.send('after')).toBe('first');
    await scene.end({ before: [1, 0], struck: [1, 1], after: [1, 0] });
  });

  it('with retryUnknown is told as unknown when the second fails too', async () => {
    const scene = await startWarm(2, { priority: { timeout: DEADLINE, retryUnknown: true } });
    scene.first.script.message = () => 'hang';
    scene.second.line.refuse();
    scene.second.line.cut();
    const error = await scene.failure('struck');
    expect(error).toMatchObject({ outcome: 'unknown', permanent: false });
    expect(error.attempts).toMatchObject([
      { transport: 'first', phase: 'body', outcome: 'unknown' },
      { transport: 'second', phase: 'connect', outcome: 'not-sent' },
    ]);
    await scene.end({ before: [1, 0], struck: [1, 0] });
  });

  it('with retryUnknown a refusal for good still ends it', async () => {
    const scene = await startWarm(2, { priority: { retryUnknown: true } });
    scene.first.script.message = () => '554 5.7.1 Spam';
    expect(await scene.failure('struck')).toMatchObject({ outcome: 'not-sent', permanent: true, attempts: [{}] });
    await scene.end({ before: [1, 0], struck: [0, 0] });
  });
});
