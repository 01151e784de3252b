import { expect, it } from 'vitest';
import { Output } from '../../src/cli/output.js';
import { MailConfigError } from '../../src/errors.js';
import { Collector } from './collector.js';
import { runHere } from './run-here.js';

/** What an error looks like. */
function failed(error: unknown, { json = false, verbose = false } = {}): string {
  const stderr = new Collector();
  new Output({ stdout: new Collector(), stderr }, json, verbose).fail(error);
  return stderr.text;
}

it('tells an error in one line', () => {
  expect(failed(new MailConfigError('The mail option from\nis wrong.'))).toBe(
    'error: The mail option from is wrong.\n',
  );
  expect(failed(new MailConfigError('It is wrong.'), { json: true })).toBe(
    '{"error":{"code":"CONFIG","message":"It is wrong."}}\n',
  );
  expect(failed(Object.assign(new Error('listen'), { code: 'EADDRINUSE' }), { json: true })).toContain('"EADDRINUSE"');
  expect(failed('thrown', { json: true })).toBe('{"error":{"code":"UNEXPECTED","message":"thrown"}}\n');
});

it('shows with --verbose where it was thrown, and its causes', () => {
  const cause = new Error('connect ECONNREFUSED', { cause: new RangeError('the end') });
  const lines = failed(new Error('No store.', { cause }), { verbose: true }).split('\n');
  expect(lines.slice(0, 2)).toEqual(['error: No store.', 'Error: No store.']);
  expect(lines[2]).toMatch(/^ {4}at .*output\.test\.ts/);
  expect(lines).toContain('caused by Error: connect ECONNREFUSED');
  expect(lines).toContain('caused by RangeError: the end');
});

it('shows no password, nor the line of a file that holds one', () => {
  const cause = new SyntaxError('Unexpected string');
  cause.stack = `file:///app/mail.config.mjs:2\n  auth: { pass: 'secret' 'x' }\n   ^^^\n\n${cause.stack}`;
  const error = new Error('Cannot use redis://user:secret@redis.test:6379/0', { cause });
  expect(failed(error, { verbose: true })).not.toContain('secret');
  expect(failed(error, { json: true })).toContain('redis://***@redis.test:6379/0');
});

it.each([
  [['stat'], "error: unknown command 'stat' (Did you mean status?) See priority-mail --help."],
  [['status', '--nope'], "error: unknown option '--nope'. See priority-mail --help."],
  [['campaign'], "error: missing required argument 'id'. See priority-mail --help."],
  [['status', 'a', 'b'], /^error: too many arguments for 'status'\. .* See priority-mail --help\.$/],
  [['worker', '--max-time', 'x'], /^error: .*--max-time.*Give a duration such as 30s or 5m\./],
  [['worker', '--max-time', '0s'], /Give a duration such as 30s or 5m\./],
  [['worker', '--batches', '1.5'], /Give a whole number\./],
])('refuses %j', async (args, message) => {
  const { code, stdout, stderr } = await runHere(args);
  expect({ code, stdout }).toEqual({ code: 2, stdout: '' });
  expect(stderr.trimEnd()).toMatch(message);
  expect(JSON.parse((await runHere([...args, '--json'])).stderr)).toMatchObject({ error: { code: 'USAGE' } });
});

it('shows its help, for which nothing is loaded', async () => {
  const { code, stdout } = await runHere(['--help']);
  expect({ code, stdout }).toMatchObject({ code: 0, stdout: expect.stringContaining('status-agent') as string });
  expect(await runHere([])).toEqual({ code: 2, stdout: '', stderr: stdout });
  expect(await runHere(['--version'])).toMatchObject({
    code: 0,
    stdout: expect.stringMatching(/^\d+\.\d+\.\d+\n$/) as string,
  });
});
