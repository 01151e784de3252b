import assert from 'node:assert';
import { describe, expect, it } from 'vitest';
import { deliverBatch } from '../../src/delivery/batch.js';
import type { BatchControl, BatchWork, Written } from '../../src/delivery/work.js';
import { harmless } from '../../src/delivery/observer.js';
import { LedgerView, type Fact, type Ledger } from '../../src/delivery/ledger.js';
import { Mailbox } from '../../src/testing/mailbox.js';
import { inOrder, type Dispatch } from '../../src/transport/dispatch.js';
import { notAsked, TransportError, type FailureKind } from '../../src/transport/transport.js';

const POLICY = { attempts: 3, maxAge: 1_000, firstPause: 10, maxPause: 10, greylistPause: 20 };

class MemoryLedger implements Ledger {
  readonly view: LedgerView;
  readonly added: Fact[] = [];

  constructor(facts: Fact[] = []) {
    this.view = new LedgerView(facts);
  }

  add(fact: Fact): void {
    this.view.add(fact);
    this.added.push(fact);
  }

  room = (): Promise<void> => Promise.resolve();
  committed = (): Promise<void> => Promise.resolve();
}

const WRITTEN: Written = {
  sender: 'shop@shop.test',
  mail: {
    id: 'b-0',
    messageId: '<b-0@shop.test>',
    message: () => {
      throw new Error('Nobody asks for it');
    },
  },
  headers: Buffer.from('Subject: Hello\r\n\r\n'),
  body: [Buffer.from('Hello\r\n')],
};
const address = (index: number): string => `r${index}@readers.test`;
const work = (size: number, mailbox: Mailbox, extra: Partial<BatchWork> = {}): BatchWork => ({
  id: 'b',
  size,
  recipients: (index) => [address(index)],
  write: () => WRITTEN,
  dispatch: inOrder([mailbox]),
  ...extra,
});
const control = (extra: Partial<BatchControl> = {}): BatchControl => ({
  concurrency: 2,
  enter: () => Promise.resolve(() => undefined),
  mayContinue: () => true,
  isHeld: () => true,
  isCancelled: () => false,
  deaths: 0,
  signal: new AbortController().signal,
  ...extra,
});

describe('a batch', () => {
  it('is delivered but for what its ledger shows as settled', async () => {
    const mailbox = new Mailbox();
    const ledger = new MemoryLedger([{ slot: '1', at: 1, kind: 'sent', transport: 'x', reply: 'ok' }]);
    expect(await deliverBatch(work(3, mailbox), ledger, POLICY, control())).toEqual({ state: 'done' });
    expect(mailbox.received.map(({ envelope }) => envelope.to[0])).toEqual([address(0), address(2)]);
  });

  it('starts no message that got its turn only after the lock was in doubt', async () => {
    const mailbox = new Mailbox();
    let held = true;
    let turns = 0;
    const enter = (): Promise<() => void> => {
      // The third turn is long in coming.
      if (++turns === 3) held = false;
      return Promise.resolve(() => undefined);
    };
    const running = deliverBatch(
      work(9, mailbox),
      new MemoryLedger(),
      POLICY,
      control({ concurrency: 1, enter, mayContinue: () => held }),
    );
    expect(await running).toEqual({ state: 'pending', nextAt: 0 });
    expect(mailbox.received).toHaveLength(2);
  });

  it('that breaks ends when nothing of it is in flight any more, and starts nothing more', async () => {
    const mailbox = new Mailbox();
    const send = mailbox.send.bind(mailbox);
    const broken = new Error('The turns are broken');
    let answer!: () => void;
    const answers = new Promise<void>((resolve) => (answer = resolve));
    mailbox.send = (...args) => answers.then(() => send(...args));
    let turns = 0;
    const enter = (): Promise<() => void> => {
      if (++turns === 1) return Promise.resolve(() => undefined);
      setImmediate(answer);
      return Promise.reject(broken);
    };
    const ledger = new MemoryLedger();
    await expect(deliverBatch(work(9, mailbox), ledger, POLICY, control({ enter }))).rejects.toBe(broken);
    expect(ledger.added.map(({ kind, slot }) => `${kind} ${slot}`)).toEqual(['sent 0']);
    expect(turns).toBe(2);
  });

  it('is delivered whatever a harmless observer throws', async () => {
    const errors: string[] = [];
    const observer = harmless({ settled: () => assert.fail('No') }, ({ message }) => errors.push(message));
    const result = await deliverBatch(work(2, new Mailbox()), new MemoryLedger(), POLICY, control(), observer);
    expect(result).toEqual({ state: 'done' });
    expect(errors).toEqual([0, 1].map((index) => `What becomes of message ${index} could not be told: No`));
  });

  it('asks again who is suppressed when a message has waited for its turn', async () => {
    const mailbox = new Mailbox();
    const ledger = new MemoryLedger();
    const why = { address: address(0), scope: 'bulk', reason: 'unsubscribed', since: new Date() } as const;
    let hasLeft = false;
    const enter = (): Promise<() => void> => {
      hasLeft = true;
      return Promise.resolve(() => undefined);
    };
    const suppressed = () => (hasLeft ? why : undefined);
    await deliverBatch(work(1, mailbox), ledger, POLICY, control({ enter, suppressed }));
    expect(ledger.added).toMatchObject([{ kind: 'cancelled', slot: '0', suppressed: 'unsubscribed' }]);
    expect(mailbox.received).toEqual([]);
  });

  it('gives every turn back', async () => {
    let inside = 0;
    const enter = (): Promise<() => void> => {
      inside++;
      return Promise.resolve(() => inside--);
    };
    const write = (index: number) => {
      if (index === 1) throw new Error('cannot be made');
      return WRITTEN;
    };
    await deliverBatch(work(4, new Mailbox(), { write }), new MemoryLedger(), POLICY, control({ enter }));
    expect(inside).toBe(0);
  });

  it('that was told to end has ended, though it might go on a moment later, and blames no transport', async () => {
    const mailbox = new Mailbox();
    const send = mailbox.send.bind(mailbox);
    let may = true;
    // As a transport does that asks again after a wait.
    mailbox.send = (outgoing, options) => {
      may = false;
      const wanted = options.stillWanted?.();
      may = true;
      return wanted === false
        ? Promise.reject(notAsked('mailbox', 'It was no longer wanted'))
        : send(outgoing, options);
    };
    const ledger = new MemoryLedger();
    const result = await deliverBatch(work(5, mailbox), ledger, POLICY, control({ mayContinue: () => may }));
    expect(result).toEqual({ state: 'pending', nextAt: 0 });
    expect(ledger.added).toEqual([]);
  });

  it('fails the message alone that cannot be made', async () => {
    const mailbox = new Mailbox();
    const ledger = new MemoryLedger();
    const write = (index: number) => {
      if (index === 1) throw new Error('no such field');
      return WRITTEN;
    };
    expect(await deliverBatch(work(3, mailbox, { write }), ledger, POLICY, control())).toEqual({ state: 'done' });
    expect(ledger.view.count()).toMatchObject({ sent: 2, failed: 1 });
  });

  it('waits while something is missing, settles what is cancelled, and gives up when it has been missing for long', async () => {
    const mailbox = new Mailbox();
    const blocked = 'The attachment a.pdf is not in the store any more';
    const waiting = new MemoryLedger();
    const cancelledFirst = control({ concurrency: 1, isCancelled: (index) => index === 0 });
    const result = await deliverBatch(work(3, mailbox, { blocked }), waiting, POLICY, cancelledFirst);
    expect(result).toMatchObject({ state: 'pending', hold: { by: 'missing', reason: blocked } });
    expect(waiting.added.map(({ kind }) => kind)).toEqual(['cancelled', 'trouble']);

    const old = new MemoryLedger([{ slot: '', at: Date.now() - POLICY.maxAge, kind: 'trouble', reply: blocked }]);
    expect(await deliverBatch(work(2, mailbox, { blocked }), old, POLICY, control())).toEqual({ state: 'done' });
    expect(old.added).toMatchObject([
      { kind: 'failed', reply: blocked },
      { kind: 'failed', reply: blocked },
    ]);
    expect(mailbox.received).toHaveLength(0);
  });

  it('leaves pending what was cut by a shutdown, and spends no attempt on it', async () => {
    const abort = new AbortController();
    class Cut extends Mailbox {
      override send(): Promise<never> {
        abort.abort(new Error('The worker is shutting down'));
        return Promise.reject(new Error('cut'));
      }
    }
    const ledger = new MemoryLedger();
    const cut = deliverBatch(work(1, new Cut()), ledger, POLICY, control({ signal: abort.signal }));
    expect(await cut).toEqual({ state: 'pending', nextAt: 0 });
    expect(ledger.added).toEqual([]);
  });

  describe('that transports refuse', () => {
    const refusals = (kind: FailureKind, mailbox = new Mailbox()): Mailbox => {
      mailbox.send = () =>
        Promise.reject(
          new TransportError('mailbox', {
            phase: 'rcpt',
            outcome: kind === 'unknown' ? 'unknown' : 'not-sent',
            permanent: kind.endsWith('refused'),
            scope: 'recipient',
            reply: `said ${kind}`,
            kind,
          }),
        );
      return mailbox;
    };
    const once = async (kind: FailureKind, policy = POLICY, facts: Fact[] = []) => {
      const ledger = new MemoryLedger(facts);
      const result = await deliverBatch(work(1, refusals(kind)), ledger, policy, control());
      return { result, fact: ledger.added.at(-1)!, state: ledger.view.get('0') };
    };
    const LONG = { attempts: 2, maxAge: 3_600_000, firstPause: 60_000, maxPause: 3_600_000, greylistPause: 300_000 };
    const pauseOf = (fact: Fact): number => (fact.kind === 'deferred' ? fact.until - fact.at : NaN);

    it('fails what is refused for good, with its words', async () => {
      for (const kind of ['recipient-refused', 'message-refused'] as const) {
        const { result, fact } = await once(kind, LONG);
        expect(result).toEqual({ state: 'done' });
        expect(fact).toMatchObject({ kind: 'failed', reply: `said ${kind}` });
      }
    });

    it('spends an attempt on an answer about the recipient, and on none at all', async () => {
      for (const kind of ['recipient-deferred', 'greylisted', 'unknown'] as const) {
        const { fact, state } = await once(kind, LONG);
        expect(fact.kind).toBe('deferred');
        expect(state).toMatchObject({ attempts: 1, yields: 0 });
        const earlier: Fact = { slot: '0', at: 1, until: 2, kind: 'deferred', reply: 'later' };
        expect((await once(kind, LONG, [earlier])).fact).toMatchObject({ kind: 'failed', reply: `said ${kind}` });
      }
      expect(pauseOf((await once('recipient-deferred', LONG)).fact)).toBeLessThanOrEqual(60_000);
      expect(pauseOf((await once('greylisted', LONG)).fact)).toBe(300_000);
    });

    it('spends no attempt on a transport that is busy, however often, and waits longer each time', async () => {
      const yielded = (count: number): Fact[] =>
        Array.from({ length: count }, (_, at) => ({
          ...{ slot: '0', at, until: at + 1, kind: 'deferred', reply: 'busy', yielded: true },
        }));
      expect(pauseOf((await once('busy', LONG)).fact)).toBeLessThanOrEqual(1_000);
      const { fact, state } = await once('busy', LONG, yielded(9));
      expect(fact).toMatchObject({ kind: 'deferred', yielded: true });
      expect(state).toMatchObject({ attempts: 0, yields: 10 });
      expect(pauseOf(fact)).toBeGreaterThanOrEqual(256_000);
    });

    it('counts its own pauses towards maxAge, and nothing else', async () => {
      const longAgo: Fact = { slot: '0', at: 1, until: 60_001, kind: 'deferred', reply: 'later', yielded: true };
      expect((await once('busy', LONG, [longAgo])).fact.kind).toBe('deferred');
      const long: Fact = { ...longAgo, until: LONG.maxAge + 1 };
      expect((await once('busy', LONG, [long])).fact).toMatchObject({ kind: 'failed', reply: 'said busy' });
    });

    describe('because they will have nothing of it', () => {
      const blocked = (only: (to: string) => boolean = () => true): Mailbox => {
        const mailbox = new Mailbox();
        const take = mailbox.send.bind(mailbox);
        mailbox.send = (outgoing, options) =>
          only(outgoing.envelope.to[0]!)
            ? Promise.reject(
                new TransportError('mailbox', {
                  ...{ phase: 'final', outcome: 'not-sent', permanent: false, scope: 'transport' },
                  ...{ reply: '554 blocked', replyCode: 554, kind: 'down' },
                }),
              )
            : take(outgoing, options);
        return mailbox;
      };
      const run = (size: number, mailbox: Mailbox, ledger: MemoryLedger) =>
        deliverBatch(work(size, mailbox), ledger, LONG, control({ concurrency: 1 }));

      it('is put off alone, and after three of them the others of its batch as well', async () => {
        const few = new MemoryLedger();
        const alone = await run(2, blocked(), few);
        expect(alone).not.toHaveProperty('hold');
        expect(few.view.get('0')).toMatchObject({ attempts: 0, yields: 1 });
        const many = new MemoryLedger();
        expect(await run(50, blocked(), many)).toMatchObject({
          state: 'pending',
          hold: { by: 'refusal', reason: '554 blocked' },
        });
        expect(many.view.count()).toMatchObject({ deferred: 3 });
      });

      it('is no sign of that while others between them are taken', async () => {
        const ledger = new MemoryLedger();
        const mailbox = blocked((to) => Number(/\d+/.exec(to)) % 3 > 0);
        expect(await run(9, mailbox, ledger)).not.toHaveProperty('hold');
        expect(ledger.view.count()).toMatchObject({ sent: 3, deferred: 6 });
      });

      it('hides none that would be taken', async () => {
        const ledger = new MemoryLedger();
        const mailbox = blocked((to) => Number(/\d+/.exec(to)) < 10);
        for (let runs = 0; runs < 200 && ledger.view.count().sent < 40; runs++) await run(50, mailbox, ledger);
        expect(ledger.view.count()).toMatchObject({ sent: 40 });
      });

      it('is given up with its batch when that has been so for maxAge', async () => {
        const quarter = LONG.maxAge / 4;
        const yielded = (at: number): Fact => ({
          ...{ slot: '7', at, until: at + 1_000, kind: 'deferred', reply: '554 blocked', yielded: true },
        });
        // Somebody had paused it meanwhile.
        const paused = new MemoryLedger([yielded(Date.now() - 100 * quarter)]);
        expect(await run(50, blocked(), paused)).toMatchObject({ state: 'pending' });
        expect(paused.view.count()).toMatchObject({ failed: 0 });
        const ledger = new MemoryLedger([5, 4, 3, 2, 1].map((ago) => yielded(Date.now() - ago * quarter)));
        expect(await run(50, blocked(), ledger)).toEqual({ state: 'done' });
        expect(ledger.view.count()).toMatchObject({ failed: 50 });
        ledger.add({ slot: '7', at: Date.now(), kind: 'reopened' });
        expect(await run(50, blocked(), ledger)).toMatchObject({ state: 'pending' });
      });
    });

    it('stays as it is when a transport is down, and ends its run', async () => {
      const ledger = new MemoryLedger();
      const result = await deliverBatch(work(9, refusals('down')), ledger, LONG, control({ concurrency: 1 }));
      expect(result).toMatchObject({ state: 'pending', hold: { by: 'trouble', reason: 'said down' } });
      expect(ledger.added).toMatchObject([{ kind: 'trouble', slot: '', transport: 'mailbox' }]);
    });
  });

  describe('for which no transport has room', () => {
    const noRoom = { until: 5_000, reason: 'main: paused' };
    const crowded = (): Dispatch => ({ next: () => Promise.resolve(noRoom), acceptedAt: 0 });

    it('waits as it is told, and notes why once', async () => {
      const ledger = new MemoryLedger();
      const result = await deliverBatch(
        work(9, new Mailbox(), { dispatch: crowded() }),
        ledger,
        POLICY,
        control({ concurrency: 3 }),
      );
      expect(result).toEqual({
        state: 'pending',
        nextAt: 5_000,
        hold: { by: 'room', reason: 'main: paused' },
      });
      expect(ledger.added).toMatchObject([{ kind: 'trouble', reply: 'main: paused' }]);
    });

    it('settles all the same what is cancelled or past its time, also when that happens while it waits', async () => {
      let cancelled = false;
      let left = 0;
      const late: Dispatch = {
        acceptedAt: 0,
        next: () => {
          cancelled = true;
          return Promise.resolve(Object.assign([new Mailbox()], { leave: () => void left++ }));
        },
      };
      const ledger = new MemoryLedger();
      const isCancelled = (): boolean => cancelled;
      expect(
        await deliverBatch(work(1, new Mailbox(), { dispatch: late }), ledger, POLICY, control({ isCancelled })),
      ).toEqual({ state: 'done' });
      expect(ledger.added).toMatchObject([{ kind: 'cancelled' }]);
      expect(left).toBe(1);
      const expired = new MemoryLedger();
      await deliverBatch(work(1, new Mailbox(), { dispatch: crowded(), expiresAt: 1 }), expired, POLICY, control());
      expect(expired.added).toMatchObject([{ kind: 'expired' }]);
    });

    it('gives its place back whatever happens', async () => {
      let left = 0;
      const dispatch: Dispatch = {
        acceptedAt: 0,
        next: () => Promise.resolve(Object.assign([new Mailbox()], { leave: () => void left++ })),
      };
      const write = (index: number): Written => {
        if (index % 2 === 0) throw new Error('cannot be made');
        return WRITTEN;
      };
      await deliverBatch(work(6, new Mailbox(), { dispatch, write }), new MemoryLedger(), POLICY, control());
      expect(left).toBe(6);
    });
  });

  describe('at which workers have died', () => {
    const begun = (slot: string, deaths: number): Fact => ({ slot, at: 10 + deaths, kind: 'begun', deaths });

    it('is delivered at once up to the third time, and then singly, each marked before it is touched', async () => {
      const written: string[] = [];
      let inside = 0;
      let most = 0;
      class Watching extends Mailbox {
        override async send(...args: Parameters<Mailbox['send']>): ReturnType<Mailbox['send']> {
          most = Math.max(most, ++inside);
          await Promise.resolve();
          inside--;
          return super.send(...args);
        }
      }
      const run = async (deaths: number): Promise<MemoryLedger> => {
        const ledger = new MemoryLedger();
        ledger.committed = () => {
          written.push('committed');
          return Promise.resolve();
        };
        const write = (index: number): Written => {
          written.push(`write ${index}`);
          return WRITTEN;
        };
        await deliverBatch(work(3, new Watching(), { write }), ledger, POLICY, control({ deaths, concurrency: 3 }));
        return ledger;
      };
      const together = await run(2);
      expect(most).toBe(3);
      expect(together.added.map(({ kind }) => kind)).toEqual(['sent', 'sent', 'sent']);
      [most, written.length] = [0, 0];
      const singly = await run(3);
      expect(most).toBe(1);
      expect(singly.added.map(({ kind, slot }) => `${kind} ${slot}`)).toEqual([
        'begun 0',
        'sent 0',
        'begun 1',
        'sent 1',
        'begun 2',
        'sent 2',
      ]);
      expect(written.slice(0, 4)).toEqual(['committed', 'write 0', 'committed', 'write 1']);
    });

    it('gives up a message that was being tried at two of the deaths, and serves the others', async () => {
      const mailbox = new Mailbox();
      const ledger = new MemoryLedger([begun('0', 3), begun('1', 3), begun('1', 4)]);
      expect(await deliverBatch(work(3, mailbox), ledger, POLICY, control({ deaths: 5 }))).toEqual({ state: 'done' });
      expect(mailbox.received.map(({ envelope }) => envelope.to[0])).toEqual([address(0), address(2)]);
      expect(ledger.view.get('1')?.fact).toMatchObject({
        kind: 'failed',
        reply: expect.stringContaining('2 workers') as string,
      });
    });

    it('blames no message for a run that only ended', async () => {
      const ledger = new MemoryLedger();
      await deliverBatch(
        work(2, new Mailbox(), { dispatch: inOrder([refusing()]) }),
        ledger,
        POLICY,
        control({ deaths: 3 }),
      );
      expect(ledger.added.map(({ kind, slot }) => `${kind} ${slot}`)).toEqual(['begun 0', 'trouble ', 'begun ']);
      expect(ledger.view.deathsAt('0', 4)).toBe(0);
    });

    function refusing(): Mailbox {
      const mailbox = new Mailbox();
      mailbox.send = () => Promise.reject(notAsked('mailbox', 'It is closing'));
      return mailbox;
    }
  });
});
