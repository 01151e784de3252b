import { randomBytes } from 'node:crypto';
import { createWriteStream, type Stats } from 'node:fs';
import { rename, rm, stat } from 'node:fs/promises';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { UsageError } from './failure.js';

/**
 * Writes a file that only its owner reads. It is there as a whole, or as it was before; a pipe or a device is written to as it is.
 *
 * @param isWanted asked when all is written: false leaves the file as it was
 * @returns whether it was wanted
 * @throws UsageError it is a folder
 */
export async function writeCsvFile(
  file: string,
  records: AsyncIterable<string>,
  isWanted: () => Promise<boolean> = () => Promise.resolve(true),
): Promise<boolean> {
  const there = await statOf(file);
  if (there?.isDirectory()) throw new UsageError(`${file} is a folder. Name a file.`);
  if ((there && !there.isFile()) || file.startsWith('/dev/')) {
    await pipeline(Readable.from(records), createWriteStream(file));
    return true;
  }
  // In a folder that is shared, nobody else can have made it.
  const draft = `${file}.${randomBytes(9).toString('base64url')}.tmp`;
  try {
    await pipeline(Readable.from(records), createWriteStream(draft, { flags: 'wx', mode: 0o600 }));
    const wanted = await isWanted();
    if (wanted) await rename(draft, file);
    return wanted;
  } finally {
    await rm(draft, { force: true });
  }
}

/** Undefined: nothing is there. */
export function statOf(path: string): Promise<Stats | undefined> {
  return stat(path).catch(() => undefined);
}
