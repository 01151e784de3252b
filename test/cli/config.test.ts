import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { loadConfig } from '../../src/cli/config/config.js';
import { CONFIG_FILES } from '../../src/cli/config/file.js';
import { Output } from '../../src/cli/output.js';
import { MailConfigError } from '../../src/errors.js';
import { temporaryFolder } from '../support/temp.js';
import { Collector } from './collector.js';

const options = (from: string) => ({ from, transports: [{ name: 'main', url: 'smtp://127.0.0.1:1' }] });
const json = (from: string): string => JSON.stringify(options(from));

/** A folder with these files. */
function folder(files: Record<string, string>): string {
  const path = temporaryFolder('config');
  for (const [name, text] of Object.entries(files)) writeFileSync(join(path, name), text);
  return path;
}

const load = (files: Record<string, string>, env: NodeJS.ProcessEnv = {}, file?: string) =>
  loadConfig({ cwd: folder(files), env, ...(file === undefined ? {} : { file }) });

async function failure(...args: Parameters<typeof load>): Promise<MailConfigError> {
  const error: unknown = await load(...args).catch((reason: unknown) => reason);
  expect(error).toBeInstanceOf(MailConfigError);
  return error as MailConfigError;
}

/** All that is shown of an error. */
function shown(error: unknown): string {
  const stderr = new Collector();
  new Output({ stdout: new Collector(), stderr }, false, true).fail(error);
  return stderr.text;
}

describe('a file', () => {
  it.each([
    ['mail.config.mjs', `export default ${json('a@x.test')};`],
    ['mail.config.mjs', `export default () => (${json('a@x.test')});`],
    ['mail.config.mjs', `export default async () => (${json('a@x.test')});`],
    ['mail.config.cjs', `module.exports = ${json('a@x.test')};`],
    ['mail.config.cjs', `module.exports = { __esModule: true, default: ${json('a@x.test')} };`],
    ['mail.config.json', json('a@x.test')],
  ])('%s holds the options: %s', async (name, text) => {
    expect(await load({ [name]: text })).toEqual(options('a@x.test'));
  });

  it('of the working directory is taken in the order of their names, before the environment', async () => {
    expect(CONFIG_FILES).toEqual(
      ['ts', 'mts', 'js', 'mjs', 'cjs', 'json'].map((extension) => `mail.config.${extension}`),
    );
    const files = {
      'mail.config.json': json('json@x.test'),
      'mail.config.cjs': `module.exports = ${json('cjs@x.test')}`,
    };
    const env = { PRIORITY_MAIL_URL: 'smtp://127.0.0.1:2' };
    expect(await load(files, env)).toMatchObject({ from: 'cjs@x.test', transports: [{ url: 'smtp://127.0.0.1:1' }] });
  });

  it('that --config names goes before all', async () => {
    const files = { 'mail.config.json': json('here@x.test'), 'other.json': json('other@x.test') };
    expect(await load(files, {}, 'other.json')).toMatchObject({ from: 'other@x.test' });
  });

  it('that --config names must be there', async () => {
    const error = await failure({ 'mail.config.json': json('a@x.test') }, {}, 'nope.json');
    expect(error.message).toMatch(/^There is no file .*nope\.json, which --config names\.$/);
  });

  it.each([
    ['mail.config.mjs', 'export const config = {};'],
    ['mail.config.mjs', 'export default 5;'],
    ['mail.config.json', '[]'],
    ['mail.config.cjs', 'module.exports = () => undefined;'],
  ])('%s that exports no options is refused: %s', async (name, text) => {
    expect((await failure({ [name]: text })).message).toContain(
      `${name} exports no options. Export the options of MailModule.forRoot() by default, or a function that returns them.`,
    );
  });

  it('that throws is told with its own words and cause', async () => {
    const error = await failure({ 'mail.config.cjs': `throw new Error('DATABASE_URL is not set');` });
    expect(error.message).toMatch(/mail\.config\.cjs could not be loaded: DATABASE_URL is not set$/);
    expect(error.cause).toMatchObject({ message: 'DATABASE_URL is not set' });
  });

  it('whose function fails is told with its own words and cause', async () => {
    const error = await failure({ 'mail.config.cjs': `module.exports = async () => { throw new Error('no vault') };` });
    expect(error.message).toMatch(/^The function that .*mail\.config\.cjs exports failed: no vault$/);
    expect(error.cause).toMatchObject({ message: 'no vault' });
  });

  it('of JSON with a fault is told without what stands around the fault', async () => {
    const error = await failure({ 'mail.config.json': '{ "transports": [{ "url": "smtp://u:secret@h" } oops ] }' });
    expect(error.message).toMatch(/mail\.config\.json is not valid JSON: .+\.$/);
    expect(shown(error)).not.toContain('secret');
  });
});

describe('the environment', () => {
  it('names a mail server, and what else there is', async () => {
    const env = {
      PRIORITY_MAIL_URL: 'smtps://u:p@smtp.test',
      PRIORITY_MAIL_FROM: 'Shop <shop@x.test>',
      PRIORITY_MAIL_QUEUE: 'redis://redis.test',
      PRIORITY_MAIL_NAME: 'news',
    };
    expect(await load({}, env)).toEqual({
      transports: [{ name: 'main', url: 'smtps://u:p@smtp.test' }],
      from: 'Shop <shop@x.test>',
      queue: { connection: 'redis://redis.test' },
      name: 'news',
    });
  });

  it('holds all options as JSON, which the others go before', async () => {
    const all = { ...options('a@x.test'), queue: { connection: 'redis://one.test', keep: { sent: '2d' } } };
    const env = { PRIORITY_MAIL_OPTIONS: JSON.stringify(all), PRIORITY_MAIL_QUEUE: 'redis://two.test' };
    expect(await load({}, env)).toEqual({ ...all, queue: { connection: 'redis://two.test', keep: { sent: '2d' } } });
  });

  it('turns the bulk lane off', async () => {
    const env = { PRIORITY_MAIL_URL: 'smtp://h.test', PRIORITY_MAIL_QUEUE: 'false' };
    expect(await load({}, env)).toMatchObject({ queue: false });
  });

  it('with options that are no JSON is refused without showing them', async () => {
    const error = await failure({}, { PRIORITY_MAIL_OPTIONS: 'smtp://u:secret@h' });
    expect(error.message).toMatch(/^PRIORITY_MAIL_OPTIONS is not valid JSON: /);
    expect(error.message).not.toContain('secret');
    expect((await failure({}, { PRIORITY_MAIL_OPTIONS: '[1]' })).message).toMatch(
      /^PRIORITY_MAIL_OPTIONS is no object\. /,
    );
  });
});

it('where there is none tells where it looked', async () => {
  expect((await failure({})).message).toMatch(
    /^There is no mail configuration: no mail\.config\.ts, .*mail\.config\.json in \/.*, and no PRIORITY_MAIL_URL or PRIORITY_MAIL_OPTIONS in the environment\. /,
  );
});
