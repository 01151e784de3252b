import { expect, it } from 'vitest';
import { base64Lines } from '../../src/mime/base64.js';
import { EncodedBlobs } from '../../src/queue/encoded-blobs.js';

/** 100 octets of it, which are 140 in lines of base64. */
const contentOf = (blob: string): Buffer => Buffer.alloc(100, blob);

function blobs(limit?: number): { encoded: EncodedBlobs; reads: string[] } {
  const reads: string[] = [];
  const read = (blob: string) => {
    reads.push(blob);
    if (blob === 'gone') return Promise.reject(new Error('It is gone'));
    const content = contentOf(blob);
    return Promise.resolve(
      (async function* () {
        yield content.subarray(0, 30);
        await new Promise(setImmediate);
        yield content.subarray(30);
      })(),
    );
  };
  return { encoded: new EncodedBlobs(read, limit), reads };
}

it('reads a blob once for all who need it at a time, and gives them the same Buffer', async () => {
  const { encoded, reads } = blobs();
  const [one, two] = await Promise.all([encoded.get('a', 100), encoded.get('a')]);
  expect(one).toEqual(base64Lines(contentOf('a')));
  expect(two).toBe(one);
  expect(await encoded.get('a')).toBe(one);
  expect(reads).toEqual(['a']);
});

it('keeps those that were needed last, up to its limit', async () => {
  const { encoded, reads } = blobs(300);
  const kept = encoded as unknown as { kept: Map<string, Buffer>; keptBytes: number };
  for (const blob of ['a', 'b', 'a', 'c']) await encoded.get(blob);
  expect([...kept.kept.keys()]).toEqual(['a', 'c']);
  expect(kept.keptBytes).toBe(280);
  expect(reads).toEqual(['a', 'b', 'c']);
});

it('shares what is larger than its limit as long as somebody has it', async () => {
  const { encoded, reads } = blobs(10);
  const held = await encoded.get('a');
  expect(await encoded.get('a')).toBe(held);
  expect(reads).toEqual(['a']);
});

it('asks again for what could not be read', async () => {
  const { encoded, reads } = blobs();
  await expect(Promise.all([encoded.get('gone'), encoded.get('gone')])).rejects.toThrow('It is gone');
  await expect(encoded.get('gone')).rejects.toThrow('It is gone');
  expect(reads).toEqual(['gone', 'gone']);
});
