import { mkdtempSync, rmSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { atEnd, lastResort } from './cleanup.js';

/** Makes an empty folder that is removed when the test file ends. */
export function temporaryFolder(label = 'mail'): string {
  const folder = mkdtempSync(join(tmpdir(), `${label}-test-`));
  const forget = lastResort(() => rmSync(folder, { recursive: true, force: true }));
  atEnd(async () => {
    // A server that was just killed may still be writing a last file.
    await rm(folder, { recursive: true, force: true, maxRetries: 5 });
    forget();
  });
  return folder;
}
