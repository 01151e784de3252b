import { createServer } from 'node:https';
import { text } from 'node:stream/consumers';
import { inspect } from 'node:util';
import { describe, expect, it } from 'vitest';
import type { SmtpLogin } from '../../src/transport/smtp/login.js';
import { isLoopback } from '../../src/transport/smtp/options.js';
import { selfSignedCertificate } from '../support/certificate.js';
import { atEnd } from '../support/cleanup.js';
import { Listener } from '../support/listener.js';
import { startScriptedSmtp } from '../support/scripted-smtp.js';
import { failure, send, smtpTransport } from './smtp.js';

const USER = 'shop@shop.test';
/** An address of this machine that is not taken for one. */
const ELSEWHERE = '::ffff:127.0.0.1';
const MECHANISMS = 'AUTH PLAIN LOGIN CRAM-MD5 XOAUTH2';

/** A token endpoint that only those who trust its certificate should talk to. */
async function startTokens() {
  const certificate = selfSignedCertificate();
  const asked: string[] = [];
  const https = createServer(certificate, (request, response) => {
    void text(request).then((body) => {
      asked.push(body);
      response.end(JSON.stringify({ access_token: 'fetched', expires_in: 3_600 }));
    });
  });
  const { port } = await Listener.open(https);
  atEnd(() => {
    https.close();
    https.closeAllConnections();
  });
  const login = {
    type: 'OAuth2',
    user: USER,
    clientId: 'shop',
    clientSecret: 's3cret-client',
    refreshToken: 's3cret-refresh',
    accessUrl: `https://127.0.0.1:${port}/token`,
  } satisfies SmtpLogin;
  return { asked, login, ca: certificate.cert };
}

const passwords = (['PLAIN', 'LOGIN', 'CRAM-MD5'] as const).map((method): [string, SmtpLogin] => [
  method,
  { user: USER, pass: 's3cret', method },
]);
const token: [string, SmtpLogin] = ['XOAUTH2', { type: 'OAuth2', user: USER, accessToken: 's3cret' }];

describe.each([...passwords, token])('a login with %s', (_, auth) => {
  it.each([
    ['takes no STARTTLS', [MECHANISMS]],
    ['says that it takes STARTTLS, and then refuses', ['STARTTLS', MECHANISMS]],
  ])('is not sent over the network to a server that %s', async (_name, capabilities) => {
    expect(isLoopback(ELSEWHERE)).toBe(false);
    const server = await startScriptedSmtp({ capabilities, starttls: () => '454 4.7.0 TLS not available' });
    const error = await failure(send(smtpTransport(server.url, { auth, host: ELSEWHERE })));
    expect(error).toMatchObject({ phase: 'tls', outcome: 'not-sent', scope: 'transport', permanent: false });
    expect(server.commands.map((command) => command.split(' ')[0])).toEqual(['EHLO', 'STARTTLS']);
    expect(inspect(error, { depth: Infinity, showHidden: true })).not.toContain('s3cret');
  });

  it('that the server breaks off is in no error', async () => {
    const server = await startScriptedSmtp({ capabilities: [MECHANISMS], auth: () => 'drop' });
    const error = await failure(send(smtpTransport(server.url, { auth })));
    expect(error).toMatchObject({ phase: 'auth', outcome: 'not-sent', scope: 'transport', permanent: false });
    const told = inspect(error, { depth: Infinity, showHidden: true });
    expect(told).not.toContain('s3cret');
    expect(told).not.toContain(Buffer.from(`\0${USER}\0s3cret`).toString('base64'));
  });
});

describe('an access token', () => {
  it('is fetched over TLS from where the certificate is trusted', async () => {
    const server = await startScriptedSmtp({ capabilities: [MECHANISMS] });
    const { asked, login, ca } = await startTokens();
    await send(smtpTransport(server.url, { auth: { ...login, tls: { ca } } }));
    expect(asked).toHaveLength(1);
    const said = Buffer.from(`user=${USER}\x01auth=Bearer fetched\x01\x01`).toString('base64');
    expect(server.commands).toContain(`AUTH XOAUTH2 ${said}`);
  });

  it('is not asked for where nobody vouches for the certificate', async () => {
    const server = await startScriptedSmtp({ capabilities: [MECHANISMS] });
    const { asked, login } = await startTokens();
    const error = await failure(send(smtpTransport(server.url, { auth: login })));
    expect(error).toMatchObject({ outcome: 'not-sent', scope: 'transport', permanent: false });
    expect(error.message).toContain('self-signed certificate');
    expect(asked).toEqual([]);
    expect(inspect(error, { depth: Infinity, showHidden: true })).not.toContain('s3cret');
  });

  it('is not asked for before the connection is safe', async () => {
    const server = await startScriptedSmtp({ capabilities: [MECHANISMS] });
    const { asked, login, ca } = await startTokens();
    const auth = { ...login, tls: { ca } };
    await failure(send(smtpTransport(server.url, { auth, host: ELSEWHERE })));
    expect(asked).toEqual([]);
  });
});
