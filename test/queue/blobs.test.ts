import { createSecretKey, randomBytes } from 'node:crypto';
import { expect, it } from 'vitest';
import { Blobs } from '../../src/queue/blobs.js';
import { keys } from '../../src/queue/keys.js';
import { Sealer, UNSEALED, type SealingKey } from '../../src/store/sealing.js';
import { startRedis } from '../support/redis.js';
import { lookInto } from '../support/stored.js';

const key = (id: string): SealingKey => ({ id, key: createSecretKey(randomBytes(32)) });
const old = key('old');
const current = key('current');
const content = Buffer.from('a file');
const attachments = [{ filename: 'a.txt', disposition: 'attachment', content }] as const;

it('stores an attachment once for each key, and finds it as long as its key is there', async () => {
  await lookInto((await startRedis()).url, async ({ records }) => {
    const [before, sealed, rotated] = [[], [old], [current, old]].map((list) => new Blobs(records, new Sealer(list)));
    const stored = [
      ...(await before!.put(attachments)),
      ...(await sealed!.put(attachments)),
      ...(await rotated!.put(attachments)),
    ];
    expect(await sealed!.put(attachments)).toEqual([stored[1]]);
    expect(new Set(stored.map(({ blob }) => blob)).size).toBe(3);
    const found = await rotated!.get(stored);
    expect([...found.blobs.values()]).toEqual([content, content, content]);
    expect(await new Blobs(records, new Sealer([current])).get([stored[1]!])).toMatchObject({
      blocked: expect.stringMatching(/^The attachment a\.txt is encrypted with the key "old"/) as string,
    });
    expect(await new Blobs(records, UNSEALED).get([stored[1]!])).toHaveProperty('blocked');
  });
});

it('keeps the bytes that are there when it is to keep them longer', async () => {
  await lookInto((await startRedis()).url, async ({ records }) => {
    const blobs = new Blobs(records, UNSEALED);
    const named = blobs.name(attachments[0]);
    await blobs.keep(named);
    await blobs.keep({ ...named, content: Buffer.from('other!'), due: named.due + 1_000 });
    const key = keys.blob(named.attachment.blob);
    const [fields] = await records.get([key]);
    expect(Buffer.from(fields!['data']!, 'base64')).toEqual(content);
    expect(Number(fields!['until'])).toBeGreaterThan(named.due + 1_000);
    await records.delete([key]);
    await blobs.keep(named);
    expect((await blobs.get([named.attachment])).blobs.get(named.attachment.blob)).toEqual(content);
  });
});

it('takes nothing in the place of a sealed attachment, be it in the clear or another one', async () => {
  await lookInto((await startRedis()).url, async ({ records }) => {
    const blobs = new Blobs(records, new Sealer([current]));
    const [mine] = await blobs.put(attachments);
    const [other] = await blobs.put([{ ...attachments[0], content: Buffer.from('another') }]);
    const [theirs] = await records.get([keys.blob(other!.blob)]);
    for (const data of [Buffer.from('forged').toString('base64'), theirs!['data']!]) {
      await records.merge([{ key: keys.blob(mine!.blob), fields: { data } }]);
      const { blocked } = await blobs.get([mine!]);
      expect(blocked).toMatch(/^The attachment a\.txt cannot be decrypted/);
    }
    await records.delete([keys.blob(mine!.blob)]);
    expect((await blobs.get([mine!])).blocked).toBe('The attachment a.txt is not in the store any more');
  });
});
