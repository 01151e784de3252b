import { afterAll, beforeAll, beforeEach, expect, it } from 'vitest';
import type { Records } from '../../src/store/records.js';
import type { Store } from '../../src/store/store.js';
import { Memory } from '../../src/testing/memory-store.js';
import { openQueueStore } from '../support/open-store.js';
import { IN_MEMORY, onEveryQueue } from '../support/stores.js';

onEveryQueue((where) => {
  let connection: string;
  let store: Store;
  let records: Records;

  const open = async (name: string): Promise<Store> => {
    const opened =
      connection === IN_MEMORY ? new Memory() : await openQueueStore(connection, { name, lockTimeout: 1_000 });
    await opened.ready();
    return opened;
  };

  beforeAll(async () => {
    connection = await where.create();
    store = await open('mail');
    records = store.records;
  });
  beforeEach(async () => {
    for await (const key of records.scan('')) await records.delete([key]);
  });
  afterAll(() => store.close(1_000));

  it('gets records in the order asked for, and undefined for those that are not there', async () => {
    await records.merge([
      { key: 'a', fields: { x: '1', y: '' } },
      { key: 'b', fields: { z: 'ünï\n😀' } },
    ]);
    expect(await records.get(['b', 'nothing', 'a'])).toEqual([{ z: 'ünï\n😀' }, undefined, { x: '1', y: '' }]);
    expect(await records.get([])).toEqual([]);
  });

  it('merges fields, keeps the others, and lets the later of two changes win', async () => {
    await records.merge([{ key: 'a', fields: { x: '1', y: '2' } }]);
    await records.merge([
      { key: 'a', fields: { x: '3' } },
      { key: 'a', fields: { x: '4', z: '5' } },
    ]);
    expect(await records.get(['a'])).toEqual([{ x: '4', y: '2', z: '5' }]);
  });

  it('merges thousands of fields of several records in one call', async () => {
    const many = (count: number, tag: string): Record<string, string> =>
      Object.fromEntries(Array.from({ length: count }, (_, n) => [`f${n}`, `${tag}${n}`]));
    await records.merge([{ key: 'a', fields: { f0: 'old', kept: 'yes' } }]);
    await records.merge([
      { key: 'a', fields: many(5_000, 'a') },
      { key: 'b', fields: many(1_000, 'b') },
      { key: 'c', fields: many(1_001, 'c') },
      { key: 'd', fields: { one: '1' } },
      { key: 'a', fields: { f1: 'last', f4999: 'last' } },
    ]);
    const [a, b, c, d] = await records.get(['a', 'b', 'c', 'd']);
    expect(a).toEqual({ ...many(5_000, 'a'), f1: 'last', f4999: 'last', kept: 'yes' });
    expect(b).toEqual(many(1_000, 'b'));
    expect(c).toEqual(many(1_001, 'c'));
    expect(d).toEqual({ one: '1' });
  });

  it('merges nothing where nothing is given', async () => {
    await records.merge([]);
    await records.merge([
      { key: 'none', fields: {} },
      { key: 'some', fields: { x: '1' } },
    ]);
    expect(await records.get(['none', 'some'])).toEqual([undefined, { x: '1' }]);
  });

  it('keeps names and values as they are, whatever is in them', async () => {
    // PostgreSQL has no NUL in a text.
    const octets = String.fromCharCode(...Array.from({ length: 255 }, (_, n) => n + 1));
    const fields = {
      [octets]: octets,
      ' ': ' ',
      '-1': '2',
      "'; --": `"\\\r\n\t{}[]`,
      한글: '이순신 😀 \u{10ffff}',
      1e21: '007',
      long: 'ü'.repeat(200_000),
    };
    await records.merge([
      { key: 'odd', fields },
      { key: 'odd/한글 %_*?[a]', fields: { x: octets } },
    ]);
    expect(await records.get(['odd', 'odd/한글 %_*?[a]'])).toEqual([fields, { x: octets }]);
    expect(await records.putIfAbsent('put', fields)).toBe(true);
    expect(await records.get(['put'])).toEqual([fields]);
  });

  it('puts a record once, however it was made', async () => {
    expect(await records.putIfAbsent('a', { x: '1', y: '2' })).toBe(true);
    expect(await records.putIfAbsent('a', { x: '3' })).toBe(false);
    await records.merge([{ key: 'b', fields: { x: '1' } }]);
    expect(await records.putIfAbsent('b', { x: '2' })).toBe(false);
    expect(await records.get(['a', 'b'])).toEqual([{ x: '1', y: '2' }, { x: '1' }]);
  });

  it('lets one of many who put at once win', async () => {
    const won = await Promise.all(Array.from({ length: 20 }, (_, n) => records.putIfAbsent('race', { n: String(n) })));
    expect(won.filter(Boolean)).toHaveLength(1);
    expect(await records.get(['race'])).toEqual([{ n: String(won.indexOf(true)) }]);
  });

  it('forgets a record when it expires, and takes it up anew', async () => {
    await records.putIfAbsent('put', { x: '1' }, Date.now() - 1);
    expect(await records.get(['put'])).toEqual([undefined]);
    expect(await records.putIfAbsent('put', { y: '2' })).toBe(true);
    expect(await records.get(['put'])).toEqual([{ y: '2' }]);

    await records.merge([{ key: 'merged', fields: { x: '1' } }]);
    await records.expire(['merged'], Date.now() - 1);
    expect(await records.get(['merged'])).toEqual([undefined]);
    await records.merge([{ key: 'merged', fields: { y: '2' } }]);
    expect(await records.get(['merged'])).toEqual([{ y: '2' }]);
  });

  it('gives what is written as a whole its end at once', async () => {
    const [past, future] = [Date.now() - 1, Date.now() + 60_000];
    await records.merge([
      { key: 'gone', fields: { x: '1' }, expiresAt: past },
      { key: 'there', fields: { x: '1' }, expiresAt: future },
      { key: 'always', fields: { x: '1' } },
    ]);
    expect(await records.get(['gone', 'there', 'always'])).toEqual([undefined, { x: '1' }, { x: '1' }]);
    await records.merge([{ key: 'there', fields: { x: '2' }, expiresAt: past }]);
    expect(await records.get(['there'])).toEqual([undefined]);
  });

  it('keeps a record whose time has not come', async () => {
    await records.putIfAbsent('a', { x: '1' }, Date.now() + 60_000);
    await records.merge([{ key: 'a', fields: { y: '2' } }]);
    expect(await records.get(['a'])).toEqual([{ x: '1', y: '2' }]);
  });

  it('deletes, and minds nothing that is gone', async () => {
    await records.merge([{ key: 'a', fields: { x: '1' } }]);
    await records.delete(['a', 'b']);
    await records.delete([]);
    expect(await records.get(['a'])).toEqual([undefined]);
  });

  it('takes fields out of a record, which is gone without any', async () => {
    await records.putIfAbsent('a', { x: '1', y: '2' });
    await records.merge([{ key: 'b', fields: { x: '1', constructor: '2' } }]);
    expect(await records.unset('a', ['x', 'z'])).toBe(1);
    expect(await records.unset('b', ['constructor', 'x', 'toString'])).toBe(2);
    expect(await records.unset('nothing', ['x'])).toBe(0);
    expect(await records.unset('a', [])).toBe(0);
    expect(await records.get(['a', 'b'])).toEqual([{ y: '2' }, undefined]);
    expect(await records.unset('a', ['y'])).toBe(1);
    expect(await records.putIfAbsent('a', { z: '3' })).toBe(true);
    expect(await records.get(['a'])).toEqual([{ z: '3' }]);
  });

  it('finds keys by prefix, each once, more than a page of them', async () => {
    const keys = Array.from({ length: 2_100 }, (_, n) => `page/${n}`);
    await records.merge([...keys, 'pag%', 'pag_', 'other/1'].map((key) => ({ key, fields: { x: '1' } })));
    const found: string[] = [];
    for await (const key of records.scan('page/')) found.push(key);
    expect(found.sort()).toEqual(keys.sort());
    const odd: string[] = [];
    for await (const key of records.scan('pag%')) odd.push(key);
    expect(odd).toEqual(['pag%']);
  });

  if (where.name !== 'embedded' && where.name !== 'memory') {
    it('keeps the records of two mailers on one store apart', async () => {
      const other = await open('mail-other');
      await records.merge([{ key: 'a', fields: { x: '1' } }]);
      expect(await other.records.get(['a'])).toEqual([undefined]);
      await other.close(1_000);
    });
  }

  it('refuses to be used after it was closed', async () => {
    await store.close(1_000);
    await expect(store.ready()).rejects.toThrow();
    store = await open('mail');
    records = store.records;
  });
});
