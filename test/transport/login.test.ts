import { createServer } from 'node:http';
import { text } from 'node:stream/consumers';
import { inspect } from 'node:util';
import { SMTPServer, type SMTPServerAuthentication } from 'smtp-server';
import { describe, expect, it, vi, onTestFinished } from 'vitest';
import type { SmtpLogin } from '../../src/transport/smtp/login.js';
import { atEnd } from '../support/cleanup.js';
import { eventually } from '../support/eventually.js';
import { Listener } from '../support/listener.js';
import { failure, Gate, mail, send, smtpTransport } from './smtp.js';

const USER = 'shop@shop.test';
const PASS = 'pä:ss/w@rd+';
const OFFERED = ['PLAIN', 'LOGIN', 'CRAM-MD5', 'XOAUTH2'];

/** A server that knows one password and one access token, and who has tried what. */
class LoginServer {
  pass = PASS;
  token = '';
  /** Refuses a token at once, as Exchange does, instead of saying first what is wrong with it (`334`), as Gmail does. */
  curt = false;
  readonly tried: string[] = [];
  messages = 0;
  readonly gate = new Gate();
  url = '';

  accepts(auth: SMTPServerAuthentication): boolean {
    this.tried.push(auth.method === 'XOAUTH2' ? `XOAUTH2 ${auth.accessToken}` : auth.method);
    if (auth.username !== USER) return false;
    if (auth.method === 'XOAUTH2') return auth.accessToken === this.token;
    return auth.method === 'CRAM-MD5' ? auth.validatePassword(this.pass) : auth.password === this.pass;
  }
}

async function startLoginServer(authMethods = OFFERED): Promise<LoginServer> {
  const server = new LoginServer();
  const smtp = new SMTPServer({
    authMethods,
    allowInsecureAuth: true,
    disabledCommands: ['STARTTLS'],
    disableReverseLookup: true,
    logger: false,
    onAuth(auth, _session, callback) {
      if (server.accepts(auth)) callback(null, { user: USER });
      else if (auth.method === 'XOAUTH2' && !server.curt) callback(null, { data: { status: '401' } });
      else callback(Object.assign(new Error('5.7.8 Go away'), { responseCode: 535 }));
    },
    onData(stream, _session, callback) {
      void text(stream)
        .then(() => server.gate.pass())
        .then(() => callback(null, `Ok ${++server.messages}`));
    },
  });
  smtp.on('error', () => undefined);
  const listener = await Listener.open(smtp.server);
  atEnd(() => new Promise<void>((resolve) => smtp.close(() => resolve())));
  server.url = `smtp://127.0.0.1:${listener.port}`;
  server.gate.open();
  return server;
}

/** A token endpoint (RFC 6749 §6) that gives out `t1`, `t2` and so on, each of them the only one the server then takes. */
async function startTokens(server: LoginServer, answer: (number: number) => object = () => ({ expires_in: 3600 })) {
  const asked: URLSearchParams[] = [];
  const http = createServer((request, response) => {
    void text(request).then((body) => {
      const number = asked.push(new URLSearchParams(body));
      server.token = `t${number}`;
      response.end(JSON.stringify({ access_token: server.token, token_type: 'Bearer', ...answer(number) }));
    });
  });
  const { port } = await Listener.open(http);
  atEnd(() => {
    http.close();
    http.closeAllConnections();
  });
  const login = {
    type: 'OAuth2',
    user: USER,
    clientId: 'shop',
    clientSecret: 'client-s3cret',
    refreshToken: 'refresh-s3cret',
    accessUrl: `http://127.0.0.1:${port}/token`,
  } satisfies SmtpLogin;
  return { asked, login };
}

describe('a login with a password', () => {
  it.each(['PLAIN', 'LOGIN', 'CRAM-MD5'] as const)('uses %s where it is told to', async (method) => {
    const server = await startLoginServer();
    await send(smtpTransport(server.url, { auth: { user: USER, pass: PASS, method } }));
    expect(server.tried).toEqual([method]);
    expect(server.messages).toBe(1);
  });

  it.each([
    [['PLAIN', 'LOGIN'], 'PLAIN'],
    [['CRAM-MD5', 'LOGIN'], 'LOGIN'],
    [['XOAUTH2', 'CRAM-MD5'], 'CRAM-MD5'],
  ])('uses, of %j, %s by itself', async (offered, method) => {
    const server = await startLoginServer(offered);
    await send(smtpTransport(server.url, { auth: { user: USER, pass: PASS } }));
    expect(server.tried).toEqual([method]);
  });

  it.each(['PLAIN', 'LOGIN', 'CRAM-MD5'] as const)(
    'that is refused (%s) tells the server’s words and nothing of the password',
    async (method) => {
      const server = await startLoginServer();
      server.pass = 'another';
      const error = await failure(send(smtpTransport(server.url, { auth: { user: USER, pass: PASS, method } })));
      expect(error).toMatchObject({ phase: 'auth', permanent: false, scope: 'transport', outcome: 'not-sent' });
      expect(error).toMatchObject({ replyCode: 535, enhancedCode: '5.7.8', reply: '535 5.7.8 Go away' });
      const told = inspect(error, { depth: Infinity, showHidden: true });
      for (const secret of [PASS, encodeURIComponent(PASS), ...base64(PASS, `\0${USER}\0${PASS}`)]) {
        expect(told).not.toContain(secret);
      }
    },
  );
});

describe('a login with OAuth 2.0', () => {
  it('uses the access token that was given', async () => {
    const server = await startLoginServer();
    server.token = 'given';
    await send(smtpTransport(server.url, { auth: { type: 'OAuth2', user: USER, accessToken: 'given' } }));
    expect(server.tried).toEqual(['XOAUTH2 given']);
    expect(server.messages).toBe(1);
  });

  it('fetches one access token for all connections of the transport', async () => {
    const server = await startLoginServer();
    const closed = new Gate();
    vi.spyOn(server.gate, 'pass').mockImplementation(() => closed.pass());
    const { asked, login } = await startTokens(server);
    const transport = smtpTransport(server.url, { auth: login });
    const sending = [1, 2, 3].map((number) => send(transport, mail(`${number}`)));
    const bulk = send(transport, mail('bulk'), { lane: 'bulk' });
    await eventually(() => expect(closed.waiting).toBe(4));
    closed.open();
    await Promise.all([...sending, bulk]);
    expect(server.tried).toEqual(Array<string>(4).fill('XOAUTH2 t1'));
    expect(asked.map((query) => Object.fromEntries(query))).toEqual([
      {
        grant_type: 'refresh_token',
        client_id: 'shop',
        client_secret: 'client-s3cret',
        refresh_token: 'refresh-s3cret',
      },
    ]);
  });

  it('fetches another when the token’s time is up', async () => {
    vi.useFakeTimers({ toFake: ['Date'] });
    onTestFinished(() => void vi.useRealTimers());
    const server = await startLoginServer();
    const { asked, login } = await startTokens(server);
    const transport = smtpTransport(server.url, { auth: login, maxMessages: 1 });
    await send(transport);
    await send(transport);
    expect(asked).toHaveLength(1);
    vi.setSystemTime(Date.now() + 3_601_000);
    await send(transport);
    expect(server.tried).toEqual(['XOAUTH2 t1', 'XOAUTH2 t1', 'XOAUTH2 t2']);
  });

  it.each([false, true])(
    'fetches another when the token is refused, and the mail goes out (at once: %s)',
    async (curt) => {
      const server = await startLoginServer();
      server.curt = curt;
      const { login } = await startTokens(server);
      await send(smtpTransport(server.url, { auth: { ...login, accessToken: 'revoked' } }));
      expect(server.tried).toEqual(['XOAUTH2 revoked', 'XOAUTH2 t1']);
      expect(server.messages).toBe(1);
    },
  );

  it('is tried once with a token that cannot be renewed', async () => {
    const server = await startLoginServer();
    server.curt = true;
    const auth = { type: 'OAuth2', user: USER, accessToken: 'revoked' } as const;
    expect(await failure(send(smtpTransport(server.url, { auth })))).toMatchObject({ reply: '535 5.7.8 Go away' });
    expect(server.tried).toEqual(['XOAUTH2 revoked']);
  });

  it('fetches no third one in a row', async () => {
    const server = await startLoginServer();
    vi.spyOn(server, 'accepts').mockReturnValue(false);
    const { asked, login } = await startTokens(server);
    const error = await failure(send(smtpTransport(server.url, { auth: login })));
    expect(error).toMatchObject({ phase: 'auth', permanent: false, scope: 'transport', replyCode: 535 });
    expect(asked).toHaveLength(2);
  });

  it('that gets no token tells why, and no secret', async () => {
    const server = await startLoginServer();
    const { login } = await startTokens(server, () => ({ error: 'invalid_grant', error_description: 'Revoked' }));
    const error = await failure(send(smtpTransport(server.url, { auth: login })));
    expect(error).toMatchObject({ phase: 'auth', permanent: false, scope: 'transport', outcome: 'not-sent' });
    expect(error.message).toBe('main at auth: invalid_grant: Revoked');
    expect(inspect(error, { depth: Infinity, showHidden: true })).not.toContain('s3cret');
    expect(server.tried).toEqual([]);
  });
});

const base64 = (...texts: string[]): string[] => texts.map((text) => Buffer.from(text).toString('base64'));
