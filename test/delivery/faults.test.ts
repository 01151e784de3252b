import { describe, expect, it } from 'vitest';
import { looksStale, mayGoElsewhere, OPENING_FAULTS, SENDING_FAULTS, type Fault } from './faults.js';
import { Scene, type SceneOptions } from './scene.js';

/** Enough for a deadline to come while the test waits, and for the rest to happen in its share. */
const DEADLINE = '3s';

const named = (faults: readonly Fault[]) => faults.map((fault) => [fault.name, fault] as const);
const SENDING = named(SENDING_FAULTS);
const FAULTS = [...named(OPENING_FAULTS), ...SENDING];
const UNKNOWN = SENDING.filter(([, { told }]) => told.outcome === 'unknown');

function sceneOf(fault: Fault, count: 1 | 2, minWarm: number, priority: SceneOptions['priority'] = {}): Promise<Scene> {
  return Scene.start(count, {
    first: fault.server,
    transport: { minWarm },
    priority: { ...(fault.silent ? { timeout: DEADLINE } : {}), ...priority },
  });
}

/** The first provider fails from now on, whoever wants a connection included. */
function strike(fault: Fault, { first }: Scene, times: 'once' | 'always'): void {
  fault.strike(first, times);
  if (OPENING_FAULTS.includes(fault)) first.line.cut();
}

const told = (fault: Fault) => ({
  ...fault.told,
  transport: 'first',
  duration: expect.any(Number) as number,
  reply: fault.told.reply ?? (expect.stringMatching(/./) as string),
});

function expectTold(error: Awaited<ReturnType<Scene['failure']>>, fault: Fault): void {
  expect(error.attempts).toEqual([told(fault)]);
  const { outcome, permanent } = fault.told;
  expect(error).toMatchObject({ outcome, permanent, code: 'DELIVERY' });
  expect(error.message).toContain(error.attempts[0]!.reply);
  expect(error.message).not.toContain('s3cret');
}

describe.concurrent('the only transport', () => {
  it.each(FAULTS)('tells the caller, and works again: %s', async (_, fault) => {
    const scene = await sceneOf(fault, 1, 0);
    strike(fault, scene, 'always');
    expectTold(await scene.failure('struck'), fault);
    await scene.first.mend();
    expect(await scene.send('after')).toBe('first');
    await scene.end({ struck: fault.copies, after: 1 });
  });

  it.each(FAULTS)('with a kept connection, struck for a while: %s', async (_, fault) => {
    const scene = await sceneOf(fault, 1, 0);
    await scene.send('before');
    strike(fault, scene, 'always');
    expectTold(await scene.failure('struck'), fault);
    await scene.first.mend();
    expect(await scene.send('after')).toBe('first');
    await scene.end({ before: 1, struck: fault.copies, after: 1 });
  });

  it.each(SENDING)('with a kept connection, struck once: %s', async (_, fault) => {
    const scene = await sceneOf(fault, 1, 1);
    await scene.send('before');
    strike(fault, scene, 'once');
    if (looksStale(fault)) expect(await scene.send('struck')).toBe('first');
    else expectTold(await scene.failure('struck'), fault);
    expect(await scene.send('after')).toBe('first');
    await scene.end({ before: 1, struck: looksStale(fault) ? 1 : fault.copies, after: 1 });
  });
});

describe.concurrent('the first of two transports', () => {
  async function strikeFirst(fault: Fault, scene: Scene): Promise<[first: number, second: number]> {
    strike(fault, scene, 'always');
    if (mayGoElsewhere(fault)) expect(await scene.send('struck')).toBe('second');
    else expectTold(await scene.failure('struck'), fault);
    await scene.first.mend();
    return [fault.copies, mayGoElsewhere(fault) ? 1 : 0];
  }

  it.each(FAULTS)('without connections yet: %s', async (_, fault) => {
    const scene = await sceneOf(fault, 2, 0);
    const struck = await strikeFirst(fault, scene);
    expect(scene.second.connections).toBe(struck[1]);
    expect(await scene.send('after')).toBe('first');
    await scene.end({ struck, after: [1, 0] });
  });

  it.each(FAULTS)('with kept connections: %s', async (_, fault) => {
    const scene = await sceneOf(fault, 2, 1);
    expect(await scene.send('before')).toBe('first');
    const struck = await strikeFirst(fault, scene);
    expect(await scene.send('after')).toBe('first');
    await scene.end({ before: [1, 0], struck, after: [1, 0] });
  });

  it.each(UNKNOWN)('with retryUnknown: %s', async (_, fault) => {
    const scene = await sceneOf(fault, 2, 1, { retryUnknown: true });
    await scene.send('before');
    strike(fault, scene, 'always');
    expect(await scene.send('struck')).toBe('second');
    await scene.first.mend();
    expect(await scene.send('after')).toBe('first');
    await scene.end({ before: [1, 0], struck: [fault.copies, 1], after: [1, 0] });
  });
});
