import { writeFile } from 'node:fs/promises';
import { get } from 'node:https';
import { connect } from 'node:net';
import { join } from 'node:path';
import { afterEach, describe, expect, it, onTestFinished, vi } from 'vitest';
import { startStatusAgent, type StatusAgent, type StatusAgentOptions } from '../../src/cli/status-agent/agent.js';
import { MailConfigError } from '../../src/errors.js';
import { openProbe, type ProbeSettings } from '../../src/transport/probes/open.js';
import { selfSignedCertificate } from '../support/certificate.js';
import { eventually } from '../support/eventually.js';
import { freePort } from '../support/free-port.js';
import { temporaryFolder } from '../support/temp.js';

const TOKEN = 's3cret-s3cret-s3cret';

afterEach(() => {
  vi.unstubAllEnvs();
  vi.useRealTimers();
});

async function agent(options: Partial<StatusAgentOptions> = {}): Promise<StatusAgent & { problems: string[] }> {
  const problems: string[] = [];
  const onProblem = (message: string) => problems.push(message);
  const started = await startStatusAgent({ port: 0, token: TOKEN, mailServer: 'none', onProblem, ...options });
  onTestFinished(() => started.close());
  return { ...started, problems };
}

async function ask(url: string, { token = TOKEN, method = 'GET' } = {}) {
  const response = await fetch(url, { method, headers: token === '' ? {} : { authorization: `Bearer ${token}` } });
  return { code: response.status, headers: response.headers, text: await response.text() };
}

async function spoolOf(messages: number): Promise<string> {
  const folder = temporaryFolder('spool');
  for (let number = 0; number < messages; number++) await writeFile(join(folder, `${number}`), '');
  return folder;
}

describe('the status agent', () => {
  it('tells how loaded the machine is', async () => {
    const { url } = await agent({ queueDir: await spoolOf(3) });
    const status = await eventually(async () => {
      const { text } = await ask(url);
      const read = JSON.parse(text) as Record<string, unknown>;
      return 'queue' in read && read;
    });
    expect(status).toEqual({
      load: expect.any(Number) as number,
      cores: expect.any(Number) as number,
      freeMemory: expect.any(Number) as number,
      freeDisk: expect.any(Number) as number,
      queue: 3,
      mailServer: 'none',
      at: expect.stringMatching(/^\d{4}-\d\d-\d\dT/) as string,
    });
  });

  it('leaves out what it cannot read, and says so once', async () => {
    const { url, problems } = await agent({ mailServer: 'sendmail', spool: '/nowhere' });
    for (let request = 0; request < 2; request++) {
      expect(JSON.parse((await ask(url)).text)).toEqual({
        load: expect.any(Number) as number,
        cores: expect.any(Number) as number,
        freeMemory: expect.any(Number) as number,
        mailServer: 'sendmail',
        at: expect.any(String) as string,
      });
    }
    await eventually(() => problems.length === 2);
    expect(problems.sort()).toEqual([
      expect.stringMatching(/^The disk cannot be read: ENOENT/),
      expect.stringMatching(/^The queue cannot be read: ENOENT/),
    ]);
  });

  it('reads the figures of the machine once a second, and the queue every five', async () => {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'performance', 'Date'] });
    const folder = await spoolOf(1);
    const { url } = await agent({ queueDir: folder });
    const read = async () => JSON.parse((await ask(url)).text) as { at: string; queue?: number };
    await eventually(async () => {
      await vi.advanceTimersByTimeAsync(1_000);
      return (await read()).queue === 1;
    });
    const first = await read();
    await vi.advanceTimersByTimeAsync(999);
    expect(await read()).toEqual(first);
    await writeFile(join(folder, 'another'), '');
    await vi.advanceTimersByTimeAsync(1);
    expect((await read()).at).not.toBe(first.at);
    await eventually(async () => {
      await vi.advanceTimersByTimeAsync(1_000);
      return (await read()).queue === 2;
    });
  });

  it.each([
    ['/status', {}, 200],
    ['/status?now', {}, 200],
    ['/status', { token: '' }, 401],
    ['/status', { token: `${TOKEN}x` }, 401],
    ['/status', { token: TOKEN.slice(1) }, 401],
    ['/status', { method: 'POST' }, 405],
    ['/healthz', { token: '' }, 200],
    ['/healthz', { method: 'DELETE' }, 405],
    ['/', {}, 404],
    ['/status/', {}, 404],
    ['/status/../status', { token: '' }, 401],
    ['/etc/passwd', { token: '' }, 404],
  ])('answers %s with %j by %i', async (path, how, code) => {
    const { url } = await agent();
    const answer = await ask(new URL(path, url).href, how);
    expect(answer.code).toBe(code);
    if (path === '/healthz' && code === 200) expect(answer.text).toBe('{"status":"ok"}');
    if (code !== 200) expect(answer.text).toBe('');
    expect(answer.headers.get('www-authenticate')).toBe(code === 401 ? 'Bearer' : null);
    expect(answer.headers.get('allow')).toBe(code === 405 ? 'GET' : null);
  });

  it('takes the token by the scheme in any case, and no other scheme', async () => {
    const { url } = await agent();
    const codeOf = async (authorization: string) => (await fetch(url, { headers: { authorization } })).status;
    expect(await codeOf(`bearer ${TOKEN}`)).toBe(200);
    expect(await codeOf(TOKEN)).toBe(401);
    expect(await codeOf(`Basic ${TOKEN}`)).toBe(401);
  });

  it('has its token from the environment or a file', async () => {
    const file = join(temporaryFolder('token'), 'token');
    await writeFile(file, `${TOKEN}-of-the-file\n`);
    expect(
      (await ask((await agent({ token: undefined, tokenFile: file })).url, { token: `${TOKEN}-of-the-file` })).code,
    ).toBe(200);
    vi.stubEnv('PRIORITY_MAIL_AGENT_TOKEN', `${TOKEN}-of-the-environment`);
    const { url } = await agent({ token: undefined });
    expect((await ask(url, { token: `${TOKEN}-of-the-environment` })).code).toBe(200);
    expect((await ask(url)).code).toBe(401);
  });

  it('needs no token on this machine alone, where that is wanted', async () => {
    const { url } = await agent({ token: undefined, noToken: true });
    expect((await ask(url, { token: '' })).code).toBe(200);
  });

  it.each<[string, Partial<StatusAgentOptions>, string]>([
    ['without a token', { token: undefined }, 'The status agent has no token. Put one into PRIORITY_MAIL_AGENT_TOKEN'],
    ['with a short one', { token: 's3cret-s3cret-s' }, 'The token of the status agent needs at least 16 characters'],
    ['with one that is no token', { token: 's3cret s3cret s3cret' }, 'letters, digits and any of'],
    ['with a file that is not there', { token: undefined, tokenFile: '/nowhere' }, 'The token cannot be read: ENOENT'],
    [
      'for everyone without a token',
      { noToken: true, host: '0.0.0.0' },
      'Without a token the status agent listens on this machine alone, not on 0.0.0.0. Give it a token.',
    ],
    ['with half of what TLS needs', { cert: '/nowhere' }, 'TLS needs both a cert and a key.'],
    ['with a certificate that is not there', { cert: '/nowhere', key: '/nowhere' }, 'cannot be used: ENOENT'],
  ])('does not start %s', async (_, options, expected) => {
    vi.stubEnv('PRIORITY_MAIL_AGENT_TOKEN', undefined);
    const starting = startStatusAgent({ port: 0, token: TOKEN, mailServer: 'none', ...options });
    await expect(starting).rejects.toThrow(expected);
    await expect(starting).rejects.toBeInstanceOf(MailConfigError);
    await expect(starting).rejects.not.toThrow('s3cret');
  });

  it('says where its token can be read, and that its port is taken', async () => {
    const { url, problems } = await agent({ host: '0.0.0.0' });
    expect(problems).toEqual([expect.stringContaining('The token crosses the network unencrypted.')]);
    const port = Number(new URL(url).port);
    await expect(startStatusAgent({ port, token: TOKEN, mailServer: 'none' })).rejects.toThrow('EADDRINUSE');
  });

  it('speaks TLS', async () => {
    const folder = temporaryFolder('tls');
    const { cert, key } = selfSignedCertificate();
    const [certFile, keyFile] = [join(folder, 'cert.pem'), join(folder, 'key.pem')];
    await writeFile(certFile, cert);
    await writeFile(keyFile, key);
    const { url } = await agent({ cert: certFile, key: keyFile });
    const code = await new Promise((resolve, reject) => {
      const headers = { authorization: `Bearer ${TOKEN}` };
      get(url, { ca: cert, headers, agent: false }, (response) => resolve(response.resume().statusCode)).on(
        'error',
        reject,
      );
    });
    expect(url).toMatch(/^https:/);
    expect(code).toBe(200);
  });

  it('lets go of its port at once, whoever is connected', async () => {
    const started = await startStatusAgent({ port: 0, token: TOKEN, mailServer: 'none' });
    const port = Number(new URL(started.url).port);
    const socket = connect(port, '127.0.0.1').on('error', () => undefined);
    onTestFinished(() => void socket.destroy());
    await ask(started.url);
    await started.close();
    await (await agent({ port })).close();
  });
});

describe('a probe of the agent', () => {
  async function probe(url: string, settings: Partial<ProbeSettings> = {}) {
    const common = { every: 60_000, timeout: 5_000, onProbeFailure: 'wait', limits: {}, token: TOKEN } as const;
    const made = openProbe(
      { type: 'http', url: new URL(url), ...common, ...settings },
      {
        ping: () => Promise.reject(new Error('It was not asked')),
        replyTime: undefined,
      },
    );
    onTestFinished(() => made.stop());
    await made.start(() => undefined);
    return made;
  }

  it('is ready', async () => {
    const { url } = await agent({ spool: '.' });
    const { load, admits } = await probe(url);
    expect(admits).toBe(true);
    expect(load).toEqual({
      state: 'ready',
      at: expect.any(Date) as Date,
      load: expect.any(Number) as number,
      freeMemory: expect.any(Number) as number,
      freeDisk: expect.any(Number) as number,
      latency: expect.any(Number) as number,
    });
  });

  it('finds the server overloaded', async () => {
    const { url } = await agent({ queueDir: await spoolOf(3) });
    await eventually(async () => (await ask(url)).text.includes('"queue":3'));
    const { load, admits } = await probe(url, { limits: { maxQueue: 2 } });
    expect(admits).toBe(false);
    expect(load).toMatchObject({ state: 'overloaded', reason: 'queue of 3 messages, above 2', queue: 3 });
  });

  it('is refused with another token, and has no answer where there is no agent', async () => {
    const { url } = await agent();
    const refused = await probe(url, { token: `${TOKEN}x` });
    expect(refused.load).toMatchObject({
      state: 'unreachable',
      reason: 'The status agent answered 401; see its token',
    });
    const nobody = await probe(`http://127.0.0.1:${await freePort()}/status`);
    expect(nobody.load.reason).toContain('ECONNREFUSED');
    expect(nobody.admits).toBe(false);
  });
});
