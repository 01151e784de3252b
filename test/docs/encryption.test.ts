import { execFileSync } from 'node:child_process';
import { expect, it } from 'vitest';
import { parseOptions } from '../../src/nest/options/parse.js';
import { readPage } from '../support/snippets.js';

it('docs/encryption.md tells how to make a key that is taken', () => {
  const [, command = '', args = ''] = /^```sh\n(\S+) (.*)\n```$/m.exec(readPage('docs/encryption.md')) ?? [];
  const key = execFileSync(command, args.split(' '), { encoding: 'utf8' });
  const queue = { connection: 'pglite://memory', encryptionKey: [key.trim(), { id: '2026-05', key }] };
  const { queue: parsed } = parseOptions({ transports: [{ name: 'main', url: 'smtp://127.0.0.1' }], queue }, 'mail');
  expect(parsed && parsed.sealer.seals).toBe(true);
});
