import { randomBytes } from 'node:crypto';
import { createSecretKey } from 'node:crypto';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { RecordedSuppressions, SUPPRESSION_MARKER } from '../../src/feedback/recorded-suppressions.js';
import type {
  Suppression,
  SuppressionList,
  SuppressionReason,
  SuppressionScope,
} from '../../src/feedback/suppression.js';
import { Sealer, UNSEALED, type SealingKey } from '../../src/store/sealing.js';
import type { Store } from '../../src/store/store.js';
import { Memory } from '../../src/testing/memory-store.js';
import { openQueueStore } from '../support/open-store.js';
import { IN_MEMORY, onEveryQueue } from '../support/stores.js';

const since = new Date('2026-11-20T10:00:00.000Z');

function entry(address: string, scope: SuppressionScope, reason: SuppressionReason, note?: string): Suppression {
  return { address, scope, reason, since, ...(note === undefined ? {} : { note }) };
}

async function all(list: SuppressionList): Promise<Suppression[]> {
  const found: Suppression[] = [];
  for await (const one of list.list()) found.push(one);
  return found.sort((a, b) => (a.address < b.address ? -1 : 1));
}

const keyOf = (id: string): SealingKey => ({ id, key: createSecretKey(randomBytes(32)) });

onEveryQueue((where) => {
  let store: Store;
  let list: RecordedSuppressions;

  beforeAll(async () => {
    const connection = await where.create();
    store = connection === IN_MEMORY ? new Memory() : await openQueueStore(connection);
    await store.ready();
    list = new RecordedSuppressions(store.records, UNSEALED);
  });
  beforeEach(async () => {
    const keys: string[] = [];
    for await (const key of store.records.scan('suppress')) keys.push(key);
    await store.records.delete(keys);
  });
  afterAll(() => store.close(1_000));

  it('finds an address however it is written, and tells it as it was given', async () => {
    const bounced = entry('Ann.Lee@BÜCHER.test', 'all', 'hard-bounce', '550 5.1.1 No such user');
    await list.add([bounced]);
    const asked = ['ann.lee@xn--bcher-kva.test', 'bob@bücher.test', 'ANN.LEE@bücher.TEST'];
    const found = await list.find(asked, { lane: 'bulk' });
    expect([...found]).toEqual([
      [asked[0], bounced],
      [asked[2], bounced],
    ]);
    expect(await list.get('ann.lee@bücher.test')).toEqual([bounced]);
    expect(await list.get('bob@bücher.test')).toEqual([]);
    expect(await list.find([], { lane: 'bulk' })).toEqual(new Map());
  });

  it('keeps one of each scope and reason, the latest, and tells the gravest', async () => {
    await list.add([
      entry('ann@mail.test', 'all', 'hard-bounce', 'first'),
      entry('ann@mail.test', 'bulk', 'unsubscribed'),
    ]);
    await list.add([entry('ANN@mail.test', 'all', 'manual'), entry('ann@mail.test', 'bulk', 'complaint')]);
    await list.add([entry('ann@mail.test', 'all', 'hard-bounce', 'second')]);
    const known = [
      entry('ANN@mail.test', 'all', 'manual'),
      entry('ann@mail.test', 'all', 'hard-bounce', 'second'),
      entry('ann@mail.test', 'bulk', 'complaint'),
      entry('ann@mail.test', 'bulk', 'unsubscribed'),
    ];
    const found = await list.get('ann@mail.test');
    expect(found).toHaveLength(4);
    expect(found).toEqual(expect.arrayContaining(known));
    expect(await all(list)).toEqual(expect.arrayContaining(known));
    expect((await list.find(['ann@mail.test'], { lane: 'bulk' })).get('ann@mail.test')?.reason).toBe('complaint');
    expect((await list.find(['ann@mail.test'], { lane: 'priority' })).get('ann@mail.test')?.reason).toBe('hard-bounce');
  });

  it('removes one scope or all of them, and leaves nothing behind', async () => {
    await list.add([entry('ann@mail.test', 'all', 'manual'), entry('ann@mail.test', 'list:news', 'unsubscribed')]);
    expect(await list.remove('Ann@mail.test', { scope: 'bulk' })).toBe(false);
    expect(await list.remove('Ann@mail.test', { scope: 'all' })).toBe(true);
    expect(await list.get('ann@mail.test')).toEqual([entry('ann@mail.test', 'list:news', 'unsubscribed')]);
    expect(await list.remove('ann@mail.test', { scope: 'list:news', reason: 'unsubscribed' })).toBe(true);
    expect(await list.remove('ann@mail.test', { reason: 'unsubscribed' })).toBe(false);
    expect(await all(list)).toEqual([]);
    const left: string[] = [];
    for await (const key of store.records.scan('suppressed/')) left.push(key);
    expect(left).toEqual([]);
  });

  it('keeps an unsubscription when the complaint or bounce beside it is taken away', async () => {
    const left = [entry('ann@mail.test', 'bulk', 'unsubscribed'), entry('ann@mail.test', 'list:news', 'unsubscribed')];
    await list.add([
      ...left,
      entry('ann@mail.test', 'bulk', 'complaint'),
      entry('ann@mail.test', 'all', 'hard-bounce'),
    ]);
    expect(await list.remove('ann@mail.test', { scope: 'bulk', reason: 'hard-bounce' })).toBe(false);
    expect(await list.remove('ann@mail.test')).toBe(true);
    expect(await list.get('ann@mail.test')).toEqual(expect.arrayContaining(left));
    expect(await list.remove('ann@mail.test')).toBe(false);
    expect((await list.find(['ann@mail.test'], { lane: 'bulk' })).size).toBe(1);
  });

  it('lists any number, each once', async () => {
    const many = Array.from({ length: 1_203 }, (_, n) => entry(`a${1_000 + n}@mail.test`, 'bulk', 'unsubscribed'));
    await list.add(many);
    expect(await all(list)).toEqual(many);
    const found = await list.find(
      many.slice(0, 600).map(({ address }) => address),
      { lane: 'bulk' },
    );
    expect(found.size).toBe(600);
  });

  it('tells by the marker that there is nothing, and that something has changed', async () => {
    const marker = async (): Promise<Record<string, string> | undefined> =>
      (await store.records.get([SUPPRESSION_MARKER]))[0];
    expect(await list.findMarked(['ann@mail.test'], { lane: 'bulk' }, await marker())).toEqual(new Map());
    await list.add([entry('ann@mail.test', 'bulk', 'unsubscribed')]);
    const first = await marker();
    expect((await list.findMarked(['ann@mail.test'], { lane: 'bulk' }, first)).size).toBe(1);
    await list.remove('ann@mail.test', { reason: 'unsubscribed' });
    expect(await marker()).not.toEqual(first);
  });

  it('seals addresses and notes, and finds what was named by another key, or by none', async () => {
    const [old, current] = [keyOf('old'), keyOf('current')];
    const plain = entry('plain@mail.test', 'all', 'manual');
    const before = entry('before@mail.test', 'all', 'hard-bounce', 'User before@mail.test unknown');
    const after = entry('after@mail.test', 'bulk', 'complaint');
    await list.add([plain]);
    await new RecordedSuppressions(store.records, new Sealer([old])).add([before]);
    const rotated = new RecordedSuppressions(store.records, new Sealer([current, old]));
    await rotated.add([after, entry('before@mail.test', 'list:news', 'unsubscribed')]);

    const addresses = ['before@mail.test', 'plain@mail.test', 'after@mail.test', 'nobody@mail.test'];
    const [marker] = await store.records.get([SUPPRESSION_MARKER]);
    const wanted = new Map([before, plain, after].map((one) => [one.address, one]));
    expect(await rotated.find(addresses, { lane: 'bulk' })).toEqual(wanted);
    expect(await rotated.findMarked(addresses, { lane: 'bulk' }, marker)).toEqual(wanted);
    expect((await rotated.get('before@mail.test')).map(({ scope }) => scope).sort()).toEqual(['all', 'list:news']);

    const stored: string[] = [];
    for await (const key of store.records.scan('suppressed/')) {
      const [fields] = await store.records.get([key]);
      if (!key.includes('plain')) stored.push(key, JSON.stringify(fields));
    }
    expect(stored).toHaveLength(6);
    expect(stored.join()).not.toMatch(/mail\.test|unknown/);

    const without = new RecordedSuppressions(store.records, new Sealer([current]));
    for (const asked of [without.find(addresses, { lane: 'bulk' }), all(without)]) {
      await expect(asked).rejects.toThrow('The suppression list is encrypted with the key "old"');
    }
    expect(await rotated.remove('before@mail.test')).toBe(true);
    expect(await rotated.remove('before@mail.test', { reason: 'unsubscribed' })).toBe(true);
    expect(await rotated.get('before@mail.test')).toEqual([]);
  });
});

describe('what a suppression stops', () => {
  const reasons: SuppressionReason[] = ['hard-bounce', 'complaint', 'unsubscribed', 'manual'];
  const stopped = async (mail: Parameters<SuppressionList['find']>[1]): Promise<string[]> => {
    const list = new RecordedSuppressions(new Memory().records, UNSEALED);
    const scopes: SuppressionScope[] = ['all', 'bulk', 'list:news', 'list:offers'];
    const entries = scopes.flatMap((scope) =>
      reasons.map((reason) => entry(`${scope}.${reason}@mail.test`.replace(':', '.'), scope, reason)),
    );
    await list.add(entries);
    const found = await list.find(
      entries.map(({ address }) => address),
      mail,
    );
    return Array.from(found.values(), ({ scope, reason }) => `${scope} ${reason}`);
  };
  const each = (scope: string): string[] => reasons.map((reason) => `${scope} ${reason}`);

  it('all bulk mail, and the campaigns of its list', async () => {
    expect(await stopped({ lane: 'bulk' })).toEqual([...each('all'), ...each('bulk')]);
    expect(await stopped({ lane: 'bulk', list: 'news' })).toEqual([
      ...each('all'),
      ...each('bulk'),
      ...each('list:news'),
    ]);
  });

  it('of the priority lane what bounces, and what somebody has suppressed by hand', async () => {
    expect(await stopped({ lane: 'priority' })).toEqual(['all hard-bounce', 'all manual']);
  });
});
