import { describe, expect, it } from 'vitest';
import { connectionOptions, isLoopback } from '../../src/transport/smtp/options.js';
import { eventually } from '../support/eventually.js';
import { startScriptedSmtp } from '../support/scripted-smtp.js';
import { startSmtpServer } from '../support/smtp-server.js';
import { failure, mail, send, smtpOptions, smtpTransport } from './smtp.js';

const auth = { user: 'shop@shop.test', pass: 'pä:ss/w@rd+' };
const verify = (url: string, options = {}) => smtpTransport(url, options).verify(new AbortController().signal);

describe('a login', () => {
  it('is made once a connection', async () => {
    const server = await startSmtpServer({ auth });
    const transport = smtpTransport(server.url);
    await send(transport);
    await send(transport);
    expect(server.received).toHaveLength(2);
    expect(server.connections).toBe(1);
  });

  it('that is refused fails every message with the server’s words and without the password', async () => {
    const server = await startSmtpServer({ auth });
    const transport = smtpTransport(server.url.replace(encodeURIComponent(auth.pass), 'wr0ng'));
    for (const error of [await failure(send(transport)), await failure(send(transport))]) {
      expect(error).toMatchObject({ phase: 'auth', outcome: 'not-sent', scope: 'transport', permanent: false });
      expect(error.message).toBe('main at auth: 535 5.7.8 Authentication credentials invalid');
      expect(JSON.stringify(error)).not.toContain('wr0ng');
    }
  });

  it('over the network needs TLS; to this machine it does not', () => {
    const required = (url: string) => connectionOptions(smtpOptions(url)).requireTLS;
    expect(required('smtp://user:pass@smtp.shop.test:587')).toBe(true);
    expect(required('smtp://user:pass@10.0.0.1:587')).toBe(true);
    expect(required('smtp://user:pass@127.0.0.1:587')).toBe(false);
    expect(required('smtp://user:pass@localhost:587')).toBe(false);
    expect(required('smtp://smtp.shop.test:587')).toBe(false);
    // TLS from the first byte has nothing to upgrade.
    expect(required('smtps://user:pass@smtp.shop.test:465')).toBe(false);
  });

  it('is not sent to a server that takes no STARTTLS where TLS is needed', async () => {
    const server = await startScriptedSmtp({ capabilities: ['AUTH PLAIN'] });
    // An address of this machine that is not taken for one.
    const options = { auth, host: '::ffff:127.0.0.1' };
    expect(isLoopback(options.host)).toBe(false);
    const error = await failure(verify(server.url, options));
    expect(error).toMatchObject({ phase: 'tls', outcome: 'not-sent', scope: 'transport' });
    expect(server.commands.filter((command) => command.startsWith('AUTH'))).toEqual([]);
  });
});

describe('isLoopback', () => {
  it.each(['127.0.0.1', '127.8.9.10', '::1', '[::1]', 'localhost'])('knows %s', (host) => {
    expect(isLoopback(host)).toBe(true);
  });

  it.each(['127.0.0.1.evil.test', '127.evil.test', 'localhost.evil.test', '128.0.0.1', '10.0.0.1', '::', ''])(
    'does not take %j for this machine',
    (host) => {
      expect(isLoopback(host)).toBe(false);
    },
  );
});

describe('TLS', () => {
  it.each(['starttls', 'implicit'] as const)('(%s) carries the mail when the certificate is trusted', async (tls) => {
    const server = await startSmtpServer({ auth, tls });
    await send(smtpTransport(server.url, { tls: { ca: server.certificate?.cert } }), mail('secret'));
    expect(server.received).toHaveLength(1);
  });

  it.each(['starttls', 'implicit'] as const)('(%s) refuses a certificate that nobody vouches for', async (tls) => {
    const server = await startSmtpServer({ auth, tls });
    const error = await failure(send(smtpTransport(server.url)));
    expect(error).toMatchObject({ phase: 'tls', outcome: 'not-sent', scope: 'transport', permanent: false });
    expect(error.message).toMatch(/self-signed certificate/);
    expect(server.received).toEqual([]);
  });

  it('refuses the certificate of another host', async () => {
    const server = await startSmtpServer({ tls: 'implicit' });
    const tls = { ca: server.certificate?.cert, servername: 'smtp.other.test' };
    const error = await failure(verify(server.url, { tls }));
    expect(error).toMatchObject({ phase: 'tls', outcome: 'not-sent' });
    expect(error.message).toContain('smtp.other.test');
  });

  it('is not what a server speaks that expects STARTTLS', async () => {
    const server = await startSmtpServer();
    const error = await failure(verify(server.url.replace('smtp:', 'smtps:')));
    expect(error).toMatchObject({ phase: 'tls', outcome: 'not-sent', scope: 'transport' });
  });

  it('is taken where it is offered, without a login as well', async () => {
    const server = await startSmtpServer({ tls: 'starttls' });
    await failure(send(smtpTransport(server.url)));
    expect(server.received).toEqual([]);
  });
});

describe('verify', () => {
  it('connects, logs in and says goodbye without sending', async () => {
    const server = await startScriptedSmtp({ capabilities: ['AUTH PLAIN'] });
    await verify(server.url.replace('//', '//user:pass@'));
    await eventually(() => {
      expect(server.commands.map((command) => command.split(' ')[0])).toEqual(['EHLO', 'AUTH', 'NOOP', 'QUIT']);
    });
  });

  it('tells why not', async () => {
    const server = await startSmtpServer({ auth });
    await expect(verify(server.url.replace('shop%40', 'nobody%40'))).rejects.toMatchObject({ phase: 'auth' });
    await expect(smtpTransport(server.url).verify(AbortSignal.abort(new Error('Late')))).rejects.toThrow('Late');
  });
});
