import { afterEach, describe, expect, it, vi } from 'vitest';
import { eventually } from '../support/eventually.js';
import { Scene } from './scene.js';

afterEach(() => {
  vi.useRealTimers();
});

/** Sends until the first provider's circuit is open, whatever becomes of the messages. */
async function openCircuit(scene: Scene): Promise<void> {
  for (let count = 1; scene.circuit === 'closed'; count++) await scene.send(`lost ${count}`).catch(() => undefined);
}

describe('a dead first provider', () => {
  it('is not even tried once its circuit is open, until it is time to look again', async () => {
    const scene = await Scene.start(2, { transport: { minWarm: 0 } });
    const { first } = scene;
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'Date'] });
    first.script.connect = () => 'drop';
    for (const subject of ['1', '2', '3']) expect(await scene.send(subject)).toBe('second');
    expect(first.connections).toBe(3);
    expect(scene.events).toEqual(['first down']);

    for (const subject of ['4', '5', '6']) expect(await scene.send(subject)).toBe('second');
    await vi.advanceTimersByTimeAsync(999);
    expect(first.connections).toBe(3);
    await vi.advanceTimersByTimeAsync(1);
    await eventually(() => first.connections === 4 && scene.circuit === 'open');

    // Still down: it is left alone for twice as long.
    await vi.advanceTimersByTimeAsync(1_999);
    expect(await scene.send('7')).toBe('second');
    expect(first.connections).toBe(4);
    await first.mend();
    await vi.advanceTimersByTimeAsync(1);
    await eventually(() => scene.circuit === 'closed');
    expect(await scene.send('8')).toBe('first');
    expect(scene.events).toEqual(['first down', 'first up']);
    vi.useRealTimers();
    await scene.end({ '1': [0, 1], '3': [0, 1], '4': [0, 1], '6': [0, 1], '7': [0, 1], '8': [1, 0] });
  });
});

describe.concurrent('a provider that comes back', () => {
  it('is taken again by itself', async () => {
    const scene = await Scene.start(2);
    await scene.send('before');
    scene.first.line.refuse();
    scene.first.line.cut();
    expect(await scene.send('struck')).toBe('second');
    await eventually(() => expect(scene.events).toEqual(['first down']));
    expect(await scene.send('down')).toBe('second');
    await scene.first.mend();
    await eventually(() => expect(scene.events).toEqual(['first down', 'first up']));
    // With a connection that waits for the next message.
    await eventually(() => scene.first.line.open === 1);
    const { connections } = scene.first;
    expect(await scene.send('after')).toBe('first');
    expect(scene.first.connections).toBe(connections);
    await scene.end({ before: [1, 0], struck: [0, 1], down: [0, 1], after: [1, 0] });
  });

  it('is taken at once when it is the only one, although its circuit is open', async () => {
    const scene = await Scene.start(1);
    scene.first.line.refuse();
    scene.first.line.cut();
    await openCircuit(scene);
    // Each message is a try while there is nothing else.
    const error = await scene.failure('struck');
    expect(error.attempts).toMatchObject([{ transport: 'first', outcome: 'not-sent', permanent: false }]);
    expect(error.message).toContain('ECONNREFUSED');
    await scene.first.mend();
    expect(await scene.send('after')).toBe('first');
    expect(scene.events).toEqual(['first down', 'first up']);
    await scene.end({ struck: 0, after: 1 });
  });

  it('is taken by all messages at once when it is the only one', async () => {
    const scene = await Scene.start(1);
    scene.first.line.refuse();
    scene.first.line.cut();
    await openCircuit(scene);
    await scene.first.mend();
    const subjects = ['1', '2', '3', '4', '5', '6'];
    await Promise.all(subjects.map((subject) => scene.send(subject)));
    await scene.end(Object.fromEntries(subjects.map((subject) => [subject, 1])));
  });

  it.each(['open', 'half-open'] as const)('from silence is taken at once with the circuit %s', async (state) => {
    const scene = await Scene.start(1, { transport: { minWarm: 0 }, priority: { timeout: '1500ms' } });
    scene.first.script.connect = () => 'hang';
    await openCircuit(scene);
    await eventually(() => scene.circuit === state);
    await scene.first.mend();
    expect(await scene.send('after')).toBe('first');
    await scene.end({ after: 1 });
  });

  it('is taken at once when the other one is down as well', async () => {
    const scene = await Scene.start(2);
    for (const { line } of [scene.first, scene.second]) {
      line.refuse();
      line.cut();
    }
    await eventually(() => expect([...scene.events].sort()).toEqual(['first down', 'second down']));
    const error = await scene.failure('struck');
    expect(error).toMatchObject({ outcome: 'not-sent', permanent: false });
    expect(error.attempts).toMatchObject([{ transport: 'first' }, { transport: 'second' }]);
    await scene.second.mend();
    expect(await scene.send('after')).toBe('second');
    await scene.end({ struck: [0, 0], after: [0, 1] });
  });
});
