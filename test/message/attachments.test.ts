import 'reflect-metadata';
import { execFileSync } from 'node:child_process';
import { mkdirSync, symlinkSync, writeFileSync, type ReadStream } from 'node:fs';
import { open, type FileHandle } from 'node:fs/promises';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { beforeAll, describe, expect, it, vi } from 'vitest';
import { atHand } from '../../src/message/attachments.js';
import type { AttachmentInput } from '../../src/message/message.js';
import { parseMessage } from '../../src/message/parse.js';
import { temporaryFolder } from '../support/temp.js';
import { faultsOf, rules } from './rules.js';

/** Parses a message with these attachments, and reads them. */
async function parse(inputs: readonly unknown[], rule = rules()) {
  const parsed = parseMessage({ to: 'ann@mail.test', attachments: inputs as AttachmentInput[] }, rule);
  return { attachments: await atHand(parsed.attachments) };
}
const contentOf = async (attachment: AttachmentInput) => (await parse([attachment])).attachments[0]?.content;

describe('content', () => {
  const bytes = Buffer.from([0, 1, 0x80, 0xff, 0x0a, 0x0d]);

  it.each<[string, () => AttachmentInput]>([
    ['a Buffer', () => ({ content: bytes })],
    ['part of a larger array', () => ({ content: new Uint8Array([9, ...bytes, 9]).subarray(1, 7) })],
    ['a base64 string', () => ({ content: bytes.toString('base64'), encoding: 'base64' })],
    ['a hexadecimal string', () => ({ content: bytes.toString('hex'), encoding: 'hex' })],
    ['a stream of pieces', () => ({ content: Readable.from([bytes.subarray(0, 2), bytes.subarray(2)]) })],
  ])('may be %s', async (_, attachment) => {
    expect(await contentOf(attachment())).toEqual(bytes);
  });

  it('may be text, whole or in a stream', async () => {
    expect(await contentOf({ content: '한국어' })).toEqual(Buffer.from('한국어'));
    expect(await contentOf({ content: Readable.from(['한국', '어'], { encoding: 'utf8' }) })).toEqual(
      Buffer.from('한국어'),
    );
  });

  it('is read only when everything else is in order', async () => {
    const stream = Readable.from(['x']);
    expect(await faultsOf(parse([{ content: stream }, { cid: 'a b', content: 'x' }]))).toHaveLength(1);
    expect([stream.readableDidRead, stream.destroyed]).toEqual([false, true]);
  });

  it('at hand is counted as well', async () => {
    const two = [{ content: 'abc' }, { content: Buffer.from('de') }];
    expect((await parse(two, rules({ attachmentBytes: 5 }))).attachments).toHaveLength(2);
    expect(await faultsOf(parse(two, rules({ attachmentBytes: 4 })))).toEqual([
      'attachments[1]: the attachments together are larger than limits.attachmentBytes (4)',
    ]);
  });

  it('may fail in the middle of a stream', async () => {
    const failing = Readable.from(
      (function* () {
        yield 'x';
        throw new Error('The disk is gone');
      })(),
    );
    expect(await faultsOf(parse([{ content: failing }, { content: Readable.from([5]) }]))).toEqual([
      'attachments[0].content: the stream failed: The disk is gone',
      'attachments[1].content: the stream failed: it yields values of type number, not bytes',
    ]);
  });

  it('is not read on when it is larger than allowed', async () => {
    let pieces = 0;
    const endless = Readable.from(
      (function* () {
        for (;;) {
          pieces++;
          yield Buffer.alloc(1_000);
        }
      })(),
      { highWaterMark: 1 },
    );
    expect(await faultsOf(parse([{ content: 'x' }, { content: endless }], rules({ attachmentBytes: 5_000 })))).toEqual([
      'attachments[1]: the attachments together are larger than limits.attachmentBytes (5000)',
    ]);
    expect(pieces).toBeLessThan(10);
    expect(endless.destroyed).toBe(true);
  });

  it('is let go of when it does not end in time', async () => {
    const endless = new Readable({ read: () => undefined });
    const quick = { ...rules(), attachments: { readTimeout: 20 } };
    expect(await faultsOf(parse([{ content: endless }], quick))).toEqual([
      'attachments[0].content: the stream failed: it has not ended within 20 ms',
    ]);
    expect(endless.destroyed).toBe(true);
  });

  it.each([
    [null, 'attachments[0]'],
    [undefined, 'attachments[0]'],
    ['text', 'attachments[0]'],
    [Buffer.from('x'), 'attachments[0]'],
    [{ filename: 'a.txt' }, 'attachments[0]'],
    [{ content: { type: 'Buffer', data: [1] } }, 'attachments[0].content'],
    [{ content: 'x', encoding: 'utf16le' }, 'attachments[0].encoding'],
    [{ content: 'x', contentType: 'pdf' }, 'attachments[0].contentType'],
    [{ content: 'x', cid: 'a b' }, 'attachments[0].cid'],
    [{ content: 'x', cid: 'a>b' }, 'attachments[0].cid'],
    [{ content: 'x', filename: 'x'.repeat(256) }, 'attachments[0].filename'],
    [{ content: 'x', contentDisposition: 'form-data' }, 'attachments[0].contentDisposition'],
    [{ content: 'x', path: 'a.txt' }, 'attachments[0]'],
  ])('is refused as %j', async (attachment, path) => {
    expect(await faultsOf(parse([attachment], rules({}, '/nowhere')))).toEqual([
      expect.stringMatching(`^${escape(path)}: `),
    ]);
  });

  const escape = (text: string) => text.replace(/[[\]]/g, '\\$&');
});

describe('what is told about it', () => {
  it('is inline with a cid, else an attachment, unless it says otherwise', async () => {
    const { attachments } = await parse([
      { content: 'x', cid: 'logo@shop', contentType: 'text/calendar; method=REQUEST; charset=utf-8' },
      { content: 'x', filename: '명세서\ud83d.pdf' },
      { content: 'x', contentDisposition: 'inline' },
    ]);
    const content = Buffer.from('x');
    expect(attachments).toEqual([
      { content, cid: 'logo@shop', disposition: 'inline', contentType: 'text/calendar; method=REQUEST; charset=utf-8' },
      { content, filename: '명세서\ufffd.pdf', disposition: 'attachment' },
      { content, disposition: 'inline' },
    ]);
  });

  it('may be null', async () => {
    const nothing = {
      path: null,
      filename: null,
      contentType: null,
      cid: null,
      encoding: null,
      contentDisposition: null,
    };
    expect((await parse([{ content: 'x', ...nothing }])).attachments).toEqual([
      { content: Buffer.from('x'), disposition: 'attachment' },
    ]);
  });
});

describe('path', () => {
  let folder: string;
  let allowed: string;

  beforeAll(() => {
    folder = temporaryFolder();
    allowed = join(folder, 'allowed');
    mkdirSync(join(allowed, 'sub'), { recursive: true });
    mkdirSync(join(folder, 'allowed-not'));
    writeFileSync(join(allowed, 'terms.txt'), 'terms');
    writeFileSync(join(allowed, 'sub', '약관.txt'), 'nested');
    writeFileSync(join(allowed, '..hidden'), 'hidden');
    writeFileSync(join(folder, 'secret.txt'), 'secret');
    writeFileSync(join(folder, 'allowed-not', 'secret.txt'), 'secret');
    symlinkSync(join(folder, 'secret.txt'), join(allowed, 'link.txt'));
    symlinkSync(folder, join(allowed, 'up'));
    symlinkSync(join(allowed, 'terms.txt'), join(allowed, 'inner-link.txt'));
  });

  it('is refused unless the application allowed a folder', async () => {
    const refused = ': files are not read unless attachments.allowedDir names the folder they may come from';
    const paths = [join(allowed, 'terms.txt'), 'http://localhost/terms.txt', 'file:///etc/hostname', '/etc/hostname'];
    expect(await faultsOf(parse(paths.map((path) => ({ path }))))).toEqual(
      paths.map((_, index) => `attachments[${index}].path${refused}`),
    );
  });

  it.each([
    ['terms.txt', 'terms', 'terms.txt'],
    ['sub/약관.txt', 'nested', '약관.txt'],
    ['./sub/../terms.txt', 'terms', 'terms.txt'],
    ['inner-link.txt', 'terms', 'inner-link.txt'],
    ['..hidden', 'hidden', '..hidden'],
  ])('%s is read from the allowed folder', async (path, content, filename) => {
    const { attachments } = await parse([{ path }], rules({}, allowed));
    expect(attachments).toEqual([{ content: Buffer.from(content), filename, disposition: 'attachment' }]);
  });

  it('may be absolute, and the file may get another name', async () => {
    const input = { path: join(allowed, 'terms.txt'), filename: 'a.txt' };
    expect((await parse([input], rules({}, allowed))).attachments[0]?.filename).toBe('a.txt');
  });

  it.each([
    '../secret.txt',
    'sub/../../secret.txt',
    '/etc/hostname',
    'link.txt',
    'up/secret.txt',
    '../allowed-not/secret.txt',
    '.',
    '..',
  ])('%s does not lead out of the allowed folder', async (path) => {
    expect(await faultsOf(parse([{ path }], rules({}, allowed)))).toEqual([
      `attachments[0].path: "${path}" is outside attachments.allowedDir`,
    ]);
  });

  it.each([
    ['missing.txt', 'ENOENT'],
    ['http://localhost/terms.txt', 'ENOENT'],
    ['terms.txt\0.png', 'ERR_INVALID_ARG_VALUE'],
  ])('%j cannot be read, and the fault says why', async (path, code) => {
    expect(await faultsOf(parse([{ path }], rules({}, allowed)))).toEqual([
      `attachments[0].path: ${JSON.stringify(path)} cannot be read from attachments.allowedDir: ${code}`,
    ]);
  });

  it.skipIf(process.platform === 'win32')('is of a file: nothing else is waited for', async () => {
    execFileSync('mkfifo', [join(allowed, 'pipe')]);
    for (const path of ['pipe', 'sub']) {
      const fault = `attachments[0].path: "${path}" is not a file`;
      expect(await faultsOf(parse([{ path }], rules({}, allowed)))).toEqual([fault]);
    }
  });

  it('is not waited for longer than a stream', async () => {
    const probe = await open(join(allowed, 'terms.txt'));
    const handles = Object.getPrototypeOf(probe) as FileHandle;
    await probe.close();
    const hanging = new Readable({ read: () => undefined });
    const reading = vi.spyOn(handles, 'createReadStream').mockReturnValue(hanging as ReadStream);
    const quick = { ...rules(), attachments: { readTimeout: 20, allowedDir: allowed } };
    expect(await faultsOf(parse([{ path: 'terms.txt' }], quick))).toEqual([
      'attachments[0].path: it has not ended within 20 ms',
    ]);
    hanging.destroy();
    reading.mockRestore();
  });

  it('is not read when the file is larger than allowed', async () => {
    expect(await faultsOf(parse([{ path: 'terms.txt' }], rules({ attachmentBytes: 4 }, allowed)))).toEqual([
      'attachments[0]: the attachments together are larger than limits.attachmentBytes (4)',
    ]);
  });
});
