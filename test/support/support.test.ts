import { existsSync } from 'node:fs';
import { once } from 'node:events';
import { writeFile } from 'node:fs/promises';
import { connect } from 'node:net';
import { join } from 'node:path';
import { PGlite } from '@electric-sql/pglite';
import { Redis } from 'ioredis';
import { createTransport } from 'nodemailer';
import pg from 'pg';
import { describe, expect, it, onTestFinished } from 'vitest';
import { selfSignedCertificate } from './certificate.js';
import { spawnTs } from './child.js';
import { eventually } from './eventually.js';
import { parse } from './parse.js';
import { pgliteFolder } from './pglite.js';
import { createDatabase, startPostgres } from './postgres.js';
import { startRedis } from './redis.js';
import { startScriptedSmtp } from './scripted-smtp.js';
import { hasSmtpSink, startSmtpSink } from './smtp-sink.js';
import { type SmtpServerOptions, startSmtpServer } from './smtp-server.js';
import { startTcpProxy } from './tcp-proxy.js';
import { temporaryFolder } from './temp.js';

const message = { from: 'shop@shop.test', to: ['ann@mail.test', 'bob@mail.test'], subject: 'Grüße', text: 'Hello' };

function mailer(url: string, options: object = {}) {
  const transport = createTransport({ url, connectionTimeout: 2_000, ...options });
  onTestFinished(() => transport.close());
  return transport;
}

describe('eventually', () => {
  it('resolves to the first result that holds', async () => {
    let calls = 0;
    expect(await eventually(() => ++calls > 2 && calls)).toBe(3);
  });

  it('takes an assertion that stops throwing', async () => {
    let calls = 0;
    await eventually(() => expect(++calls).toBe(3));
  });

  it('fails with the last error, or with what the check returned', async () => {
    const failing = () => Promise.reject(new Error('not yet'));
    await expect(eventually(failing, { within: 50 })).rejects.toThrow('not yet');
    await expect(eventually(() => false, { within: 50 })).rejects.toThrow('last returned false');
  });
});

describe('startRedis', () => {
  async function ask<T>(url: string, question: (client: Redis) => Promise<T>): Promise<T> {
    const client = new Redis(url);
    try {
      return await question(client);
    } finally {
      client.disconnect();
    }
  }

  it('starts a server of its own, on the same port again after a kill', async () => {
    const redis = await startRedis({ appendonly: true });
    await ask(redis.url, (client) => client.set('key', 'kept'));
    await redis.kill();
    await redis.restart();
    expect(await ask(redis.url, (client) => client.get('key'))).toBe('kept');
  });

  it('keeps nothing without appendonly, and takes further arguments', async () => {
    const redis = await startRedis({ args: ['--maxmemory', '3mb'] });
    await ask(redis.url, (client) => client.set('key', 'lost'));
    await redis.restart();
    expect(await ask(redis.url, (client) => client.get('key'))).toBeNull();
    expect(await ask(redis.url, (client) => client.config('GET', 'maxmemory'))).toEqual(['maxmemory', '3145728']);
  });
});

describe('PostgreSQL', () => {
  async function query(url: string, sql: string): Promise<unknown[]> {
    const client = new pg.Client({ connectionString: url });
    await client.connect();
    try {
      return (await client.query<Record<string, unknown>>(sql)).rows;
    } finally {
      await client.end();
    }
  }

  it('gives each suite an empty database', async () => {
    const [one, other] = await Promise.all([createDatabase(), createDatabase()]);
    await query(one.url, 'CREATE TABLE t (id int)');
    expect(await query(other.url, "SELECT to_regclass('t') AS t")).toEqual([{ t: null }]);
    await one.drop();
    await expect(query(one.url, 'SELECT 1')).rejects.toThrow('does not exist');
  });

  it('keeps what was committed across a kill', async () => {
    const postgres = await startPostgres();
    await query(postgres.url, 'CREATE TABLE t AS SELECT 7 AS id');
    await postgres.kill();
    await expect(query(postgres.url, 'SELECT 1')).rejects.toThrow();
    await postgres.start();
    expect(await query(postgres.url, 'SELECT id FROM t')).toEqual([{ id: 7 }]);
    await postgres.stop();
    await expect(query(postgres.url, 'SELECT 1')).rejects.toThrow();
  });
});

describe('pgliteFolder', () => {
  it('is a data folder that opens', async () => {
    const db = await PGlite.create(await pgliteFolder());
    expect((await db.query('SELECT 1 AS one')).rows).toEqual([{ one: 1 }]);
    await db.close();
  });
});

describe('startSmtpServer', () => {
  it('records envelope, message and connection', async () => {
    const server = await startSmtpServer();
    const transport = mailer(server.url);
    await transport.sendMail({ ...message, bcc: 'carl@mail.test' });
    await transport.sendMail(message);
    expect(server.received).toMatchObject([
      { from: 'shop@shop.test', to: ['ann@mail.test', 'bob@mail.test', 'carl@mail.test'], connection: 1 },
      { connection: 2 },
    ]);
    expect(server.connections).toBe(2);
    server.clear();
    expect(server.received).toEqual([]);
  });

  it.each<SmtpServerOptions>([{ tls: 'starttls' }, { tls: 'implicit' }])('speaks verified TLS: %o', async (options) => {
    const server = await startSmtpServer({ ...options, auth: { user: 'me@shop.test', pass: 'p:ss' } });
    const tls = { ca: server.certificate?.cert };
    await mailer(server.url, { tls, requireTLS: true }).sendMail(message);
    expect(server.received).toHaveLength(1);
    await expect(mailer(server.url, { tls: { ca: selfSignedCertificate().cert } }).sendMail(message)).rejects.toThrow();
  });

  it('refuses wrong credentials', async () => {
    const server = await startSmtpServer({ auth: { user: 'me', pass: 'right' } });
    const url = server.url.replace('right', 'wrong');
    await expect(mailer(url).sendMail(message)).rejects.toThrow('535 5.7.8');
    await mailer(server.url).sendMail(message);
  });

  it('answers as its handlers say', async () => {
    const server = await startSmtpServer({
      onMail: (address) => (address.startsWith('bad') ? { code: 553, text: 'no such sender' } : undefined),
      onRcpt: async (address) => (address.startsWith('bob') ? { code: 450, text: 'later' } : undefined),
      onData: ({ raw }) => (raw.includes('Subject: spam') ? { code: 554, text: 'spam' } : undefined),
    });
    const transport = mailer(server.url);
    await expect(transport.sendMail({ ...message, from: 'bad@shop.test' })).rejects.toThrow('553 no such sender');
    await expect(transport.sendMail({ ...message, subject: 'spam' })).rejects.toThrow('554 spam');
    expect(await transport.sendMail(message)).toMatchObject({ rejected: ['bob@mail.test'] });
    expect(server.received.map(({ to }) => to)).toEqual([['ann@mail.test']]);
  });

  it('stops, pauses and comes back on the same port', async () => {
    const server = await startSmtpServer();
    const pooled = mailer(server.url, { pool: true, maxConnections: 1 });
    await pooled.sendMail(message);
    server.pause();
    await expect(mailer(server.url).sendMail(message)).rejects.toThrow('ECONNREFUSED');
    await pooled.sendMail(message);
    await server.resume();
    await mailer(server.url).sendMail(message);
    expect(server.received).toHaveLength(3);
    await server.stop();
    await eventually(() => expect(server.open).toBe(0));
  });

  it('hangs up on silence', async () => {
    const server = await startSmtpServer({ idleTimeout: 50 });
    const socket = connect(server.port, '127.0.0.1');
    const said: string[] = [];
    socket.setEncoding('utf8').on('data', (text: string) => said.push(text));
    await once(socket, 'close');
    expect(said.join('')).toContain('421');
  });

  it('waits before it answers, and hides PIPELINING', async () => {
    const server = await startSmtpServer({ delay: 100, hidePipelining: true, maxBytes: 1_000 });
    const started = performance.now();
    await mailer(server.url).sendMail(message);
    expect(performance.now() - started).toBeGreaterThan(95);
    await expect(mailer(server.url).sendMail({ ...message, text: 'x'.repeat(2_000) })).rejects.toThrow('552');
  });
});

describe('startTcpProxy', () => {
  it('lets a new connection wait as long as its handshake takes', async () => {
    const server = await startSmtpServer();
    const proxy = await startTcpProxy(server.url, { handshake: true });
    proxy.delay = 20;
    const started = performance.now();
    const socket = connect(proxy.port, '127.0.0.1');
    await once(socket, 'data');
    expect(performance.now() - started).toBeGreaterThanOrEqual(79);
    socket.destroy();
  });

  it('delays each way', async () => {
    const server = await startSmtpServer();
    const proxy = await startTcpProxy(server.url);
    proxy.delay = 40;
    const socket = connect(proxy.port, '127.0.0.1');
    await once(socket, 'data');
    const started = performance.now();
    socket.write('NOOP\r\n');
    await once(socket, 'data');
    expect(performance.now() - started).toBeGreaterThanOrEqual(79);
    expect(performance.now() - started).toBeLessThan(200);
    socket.destroy();
  });

  it('loses the answer to a message that arrived', async () => {
    const server = await startSmtpServer();
    const proxy = await startTcpProxy(server.port);
    const cut = proxy.cutAfter('\r\n.\r\n');
    await expect(mailer(`smtp://127.0.0.1:${proxy.port}`).sendMail(message)).rejects.toThrow();
    await cut;
    await eventually(() => expect(server.received).toHaveLength(1));
    await mailer(`smtp://127.0.0.1:${proxy.port}`).sendMail(message);
    expect(proxy.connections).toBe(2);
  });

  it('cuts, refuses, and holds everything back', async () => {
    const server = await startSmtpServer();
    const proxy = await startTcpProxy(server.port);
    const socket = connect(proxy.port, '127.0.0.1');
    await once(socket, 'data');
    proxy.freeze();
    socket.write('NOOP\r\n');
    const answer = once(socket, 'data').then(() => 'answer');
    expect(await Promise.race([answer, new Promise((resolve) => setTimeout(resolve, 100, 'silence'))])).toBe('silence');
    proxy.thaw();
    expect(await answer).toBe('answer');
    proxy.refuse();
    await expect(once(connect(proxy.port, '127.0.0.1'), 'connect')).rejects.toThrow('ECONNREFUSED');
    const broken = once(socket, 'error');
    proxy.cut();
    expect(await broken).toMatchObject([{ code: 'ECONNRESET' }]);
    await proxy.accept();
    await mailer(`smtp://127.0.0.1:${proxy.port}`).sendMail(message);
  });
});

describe('startScriptedSmtp', () => {
  it('behaves unless told otherwise', async () => {
    const server = await startScriptedSmtp();
    const info = await mailer(server.url).sendMail({ ...message, text: 'one\n.\ntwo' });
    expect(info.response).toBe('250 2.0.0 Ok: queued');
    expect(server.messages[0]).toMatch(/\r\n\r\none\r\n\.\r\ntwo$/);
    expect(server.commands).toContain('RCPT TO:<bob@mail.test>');
  });

  it('misbehaves as its script says', async () => {
    const server = await startScriptedSmtp({
      capabilities: [],
      rcpt: (line) => (line.includes('bob') ? '550-No such user\n550 here' : undefined),
      message: (text, connection) => (connection === 1 ? 'drop' : text.includes('slow') ? 'hang' : undefined),
    });
    await expect(mailer(server.url).sendMail(message)).rejects.toThrow();
    expect(await mailer(server.url).sendMail(message)).toMatchObject({ rejected: ['bob@mail.test'] });
    const impatient = mailer(server.url, { socketTimeout: 200 });
    await expect(impatient.sendMail({ ...message, text: 'slow' })).rejects.toThrow('Timeout');
    expect(server.messages).toHaveLength(3);
  });
});

describe('startSmtpSink', () => {
  it.skipIf(!hasSmtpSink())('counts messages', async () => {
    const sink = await startSmtpSink();
    const transport = mailer(sink.url, { pool: true });
    await Promise.all(Array.from({ length: 50 }, () => transport.sendMail(message)));
    await eventually(() => expect(sink.messages).toBe(50));
    await sink.stop();
  });
});

describe('parse', () => {
  it('reads a message as a mail program does', async () => {
    const server = await startSmtpServer();
    await mailer(server.url).sendMail({
      ...message,
      from: { name: 'Shöp', address: 'shop@shop.test' },
      cc: 'carl@mail.test',
      html: '<b>Hello</b>',
      messageId: '<1@shop.test>',
      headers: { 'X-Tag': ['a', 'b'] },
      attachments: [{ filename: 'a.bin', content: Buffer.of(1, 2, 255) }],
    });
    expect(await parse(server.received[0]!.raw)).toMatchObject({
      from: { name: 'Shöp', address: 'shop@shop.test' },
      to: [{ address: 'ann@mail.test' }, { address: 'bob@mail.test' }],
      cc: [{ address: 'carl@mail.test' }],
      bcc: [],
      replyTo: [],
      subject: 'Grüße',
      text: 'Hello\n',
      html: '<b>Hello</b>\n',
      headers: { 'x-tag': 'a\nb' },
      messageId: '<1@shop.test>',
      attachments: [{ filename: 'a.bin', content: Buffer.of(1, 2, 255) }],
    });
  });
});

describe('spawnTs', () => {
  async function program(source: string): Promise<string> {
    const file = join(temporaryFolder('child'), 'program.ts');
    await writeFile(file, source);
    return file;
  }

  it('runs TypeScript, finds its lines in order and tells how it ended', async () => {
    const source = `
      enum Kind { One = 'one' }
      console.log(Kind.One, process.argv[2], process.env.COLOUR);
      process.stdin.once('data', (data: Buffer) => { console.log(Kind.One, String(data)); process.exit(3); });`;
    const child = spawnTs(await program(source), ['arg'], { COLOUR: 'blue' });
    expect(await child.line(/one/)).toBe('one arg blue');
    child.write('typed');
    expect(await child.line((line) => line.startsWith('one'))).toBe('one typed');
    expect(await child.exit).toEqual({ code: 3, signal: null });
    await expect(child.line(/two/)).rejects.toThrow('without that line');
  });

  it('is one process, which a signal hits itself', async () => {
    const child = spawnTs(await program(`console.log(process.pid); setInterval(() => {}, 1000);`));
    expect(await child.line(/^\d+$/)).toBe(`${child.pid}`);
    await child.kill();
    expect(await child.exit).toEqual({ code: null, signal: 'SIGKILL' });
  });
});

describe('temporaryFolder', () => {
  it('makes a folder', () => {
    expect(existsSync(temporaryFolder())).toBe(true);
  });
});
