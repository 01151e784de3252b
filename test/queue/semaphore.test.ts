import { describe, expect, it } from 'vitest';
import { Semaphore } from '../../src/queue/semaphore.js';

/** Lets all that could go on go on. */
const settled = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

describe('Semaphore', () => {
  it('lets in as many as there is room for, the others in their order, large ones among them', async () => {
    const semaphore = new Semaphore(3);
    const inside: string[] = [];
    const leaves = new Map<string, () => void>();
    const enter = (name: string, places?: number): void => {
      void semaphore.enter(places).then((leave) => {
        inside.push(name);
        leaves.set(name, leave);
      });
    };
    enter('a');
    enter('b');
    enter('large', 3);
    enter('c');
    await settled();
    // Whoever is small does not pass whoever is large, or that would wait for ever.
    expect(inside).toEqual(['a', 'b']);
    expect(semaphore.full).toBe(true);
    leaves.get('a')!();
    await settled();
    expect(inside).toEqual(['a', 'b']);
    leaves.get('b')!();
    await settled();
    expect(inside).toEqual(['a', 'b', 'large']);
    leaves.get('large')!();
    await settled();
    expect(inside).toEqual(['a', 'b', 'large', 'c']);
    expect(semaphore.full).toBe(false);
  });

  it('gives all its places to what wants more than there are', async () => {
    const semaphore = new Semaphore(2);
    const leave = await semaphore.enter(5);
    expect(semaphore.full).toBe(true);
    leave();
    expect(semaphore.full).toBe(false);
  });
});
