import { describe, expect, it } from 'vitest';
import { deliverBatch, type BatchControl, type BatchWork, type Written } from '../../src/delivery/batch.js';
import { LedgerView, type Fact, type Ledger } from '../../src/delivery/ledger.js';
import { Mailbox } from '../../src/testing/mailbox.js';
import { notAsked } from '../../src/transport/transport.js';

const POLICY = { attempts: 3, maxAge: 1_000, firstPause: 10, maxPause: 10 };

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
  headers: Buffer.from('Subject: Hello\r\n\r\n'),
  body: Buffer.from('Hello\r\n'),
};
const address = (index: number): string => `r${index}@readers.test`;
const work = (size: number, mailbox: Mailbox, extra: Partial<BatchWork> = {}): BatchWork => ({
  id: 'b',
  size,
  recipients: (index) => [address(index)],
  write: () => WRITTEN,
  route: [mailbox],
  ...extra,
});
const control = (extra: Partial<BatchControl> = {}): BatchControl => ({
  concurrency: 2,
  enter: () => Promise.resolve(() => undefined),
  mayContinue: () => true,
  isHeld: () => true,
  isCancelled: () => false,
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
    expect(await running).toEqual({ state: 'pending', nextAt: 0, trouble: false, held: false });
    expect(mailbox.received).toHaveLength(2);
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
    expect(result).toEqual({ state: 'pending', nextAt: 0, trouble: false, held: false });
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
    expect(result).toMatchObject({ state: 'pending', trouble: true });
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
    expect(await cut).toMatchObject({ state: 'pending', trouble: false, held: false });
    expect(ledger.added).toEqual([]);
  });
});
