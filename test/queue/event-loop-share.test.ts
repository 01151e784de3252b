import { once } from 'node:events';
import { connect, createServer, type Socket } from 'node:net';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { EventLoopShare } from '../../src/queue/event-loop-share.js';
import { atEnd } from '../support/cleanup.js';
import { Listener } from '../support/listener.js';

/** A piece of work that takes this long, by the clock that the share goes by. */
let now = 0;
const work = (milliseconds: number): unknown => (now += milliseconds);
const share = (): EventLoopShare => {
  vi.spyOn(performance, 'now').mockImplementation(() => now);
  return new EventLoopShare();
};
const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

afterEach(() => vi.restoreAllMocks());

/** The turns of the event loop, each with what ran in it, while 50 wait whose pieces take so long. */
async function turnsOf(milliseconds: number, count = 50): Promise<number[][]> {
  const loop = share();
  const turns: number[][] = [[]];
  let done = false;
  const tick = (): void => {
    turns.push([]);
    if (!done) setImmediate(tick);
  };
  setImmediate(tick);
  await Promise.all(
    Array.from({ length: count }, async (_, number) => {
      await loop.enter();
      work(milliseconds);
      turns.at(-1)!.push(number);
    }),
  );
  done = true;
  return turns.filter((pieces) => pieces.length > 0);
}

describe('a share of the event loop', () => {
  it('lets whoever asks go on at once, until its slice is used up', async () => {
    const loop = share();
    await loop.enter();
    expect(loop.enter()).toBeUndefined();
    work(0.9);
    expect(loop.enter()).toBeUndefined();
    work(0.2);
    expect(loop.enter()).toBeInstanceOf(Promise);
  });

  it('makes those who come later wait behind those who wait, though there is time left', async () => {
    const loop = share();
    await loop.enter();
    work(10);
    const order: string[] = [];
    const first = loop.enter()!.then(async () => {
      order.push('first');
      await loop.enter();
      order.push('first again');
    });
    const second = loop.enter()!.then(() => order.push('second'));
    await Promise.all([first, second]);
    expect(order).toEqual(['first', 'second', 'first again']);
  });

  it('serves in order, with several small pieces in one turn', async () => {
    const turns = await turnsOf(0.3);
    expect(turns.flat()).toEqual(Array.from({ length: 50 }, (_, number) => number));
    // 0.9 ms are less than a slice: four pieces.
    expect(Math.max(...turns.map((pieces) => pieces.length))).toBe(4);
    expect(turns.length).toBeGreaterThanOrEqual(50 / 4);
  });

  it('gives a piece that takes longer than a slice a turn of its own', async () => {
    const turns = await turnsOf(5, 10);
    expect(turns.map((pieces) => pieces.length)).toEqual(Array<number>(10).fill(1));
  });

  it('lets the sockets be read between two slices while 50 wait', async () => {
    const echo = createServer((socket) => socket.on('error', () => undefined).pipe(socket));
    const listener = await Listener.open(echo);
    atEnd(() => listener.pause());
    const socket: Socket = connect(listener.port, '127.0.0.1');
    await once(socket, 'connect');
    atEnd(() => socket.destroy());
    const loop = share();
    let answers = 0;
    socket.on('data', () => answers++ < 40 && socket.write('again'));
    socket.write('hello');
    let served = 0;
    const answersBefore: number[] = [];
    await Promise.all(
      Array.from({ length: 50 }, async () => {
        for (let piece = 0; piece < 10; piece++) {
          await loop.enter();
          work(2);
          answersBefore[served++] = answers;
        }
      }),
    );
    expect(served).toBe(500);
    // Each took a slice, so after a few dozen of them the answers have come, and not after the last.
    expect(answersBefore[250]).toBeGreaterThan(0);
    expect(answersBefore.at(-1)).toBeGreaterThan(5);
  });

  it('is given again when nobody had wanted it for a while', async () => {
    const loop = share();
    await loop.enter();
    work(10);
    await turn();
    await turn();
    let entered = false;
    await Promise.resolve(loop.enter()).then(() => (entered = true));
    expect(entered).toBe(true);
    expect(loop.enter()).toBeUndefined();
  });
});
