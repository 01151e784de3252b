import type { DeliveryAttempt, Phase } from '../../src/errors.js';
import { selfSignedCertificate } from '../support/certificate.js';
import type { ScriptedAnswer, SmtpScript } from '../support/scripted-smtp.js';
import type { TcpProxy } from '../support/tcp-proxy.js';
import type { Provider, ProviderOptions } from './provider.js';

/** One way in which a provider, or the line to it, fails. */
export interface Fault {
  name: string;
  /** Lets it fail the next time, or each time until it is mended. */
  strike: (provider: Provider, times: 'once' | 'always') => void;
  /** What the caller is told of an attempt that met it. */
  told: Partial<DeliveryAttempt> & { phase: Phase };
  /** How many copies the provider holds then. */
  copies: 0 | 1;
  /** Nothing but a deadline ends it. */
  silent: boolean;
  server: ProviderOptions;
}

type Step = Exclude<keyof SmtpScript, 'capabilities'>;
type Strike = Fault['strike'];

/** In the middle of every message's body. */
export const MIDDLE = '--- the middle of the message ---';

const STEPS: Partial<Record<Step, string>> = { connect: 'the greeting', message: 'the final dot' };
const nameOf = (step: Step): string => STEPS[step] ?? step.toUpperCase();

const SILENT = { silent: true } as const;

function fault(name: string, phase: Phase, strike: Strike, extra: Partial<Omit<Fault, 'told'>> = {}): Fault {
  const told = { phase, outcome: 'not-sent', permanent: false } as const;
  return { name, strike, told, copies: 0, silent: false, server: {}, ...extra };
}

/** The server answers a step in this way. */
function scripted(step: Step, answer: ScriptedAnswer): Strike {
  return ({ script }, times) => {
    let left = times === 'once' ? 1 : Infinity;
    script[step] = () => (left-- > 0 ? answer : undefined);
  };
}

function refusal(step: Step, phase: Phase, reply: `${number} ${string}`): Fault {
  const [code, enhancedCode] = reply.split(' ') as [string, string];
  const fails = fault(`${reply} at ${nameOf(step)}`, phase, scripted(step, reply));
  const permanent = code.startsWith('5') && step !== 'connect' && step !== 'auth';
  return { ...fails, told: { ...fails.told, permanent, replyCode: Number(code), enhancedCode, reply } };
}

function silence(step: Step, phase: Phase): Fault {
  return fault(`silence at ${nameOf(step)}`, phase, scripted(step, 'hang'), SILENT);
}

/** The line is cut at a place in what the client says. */
function cut(where: string, phase: Phase, at: (line: TcpProxy) => Promise<void>): Fault {
  return fault(`cut ${where}`, phase, ({ line }, times) => {
    const lay = (): void => void at(line).then(() => times === 'always' && lay());
    lay();
  });
}

/** The server may have it, for all that the client knows. */
function unknown(fails: Fault, copies: 0 | 1): Fault {
  return { ...fails, told: { ...fails.told, outcome: 'unknown' }, copies };
}

function over(server: ProviderOptions, fails: Fault): Fault {
  const how = server.tls ?? (server.pipelining === false ? 'without PIPELINING' : undefined);
  return { ...fails, name: how ? `${fails.name}, ${how}` : fails.name, server };
}

const bothWays = (fails: Fault): Fault[] => [fails, over({ pipelining: false }, fails)];
const untrusted = fault('a certificate nobody vouches for', 'tls', (provider) =>
  provider.present(selfSignedCertificate()),
);
/** A TLS record that holds a handshake. */
const CLIENT_HELLO = Buffer.of(0x16, 0x03, 0x01);
const handshakeCut = cut('in the TLS handshake', 'connect', (line) => line.cutAfter(CLIENT_HELLO));

/** The server announces STARTTLS, and then does not keep its word. */
function withStartTls(fails: Fault): Fault {
  const strike: Strike = (provider, times) => {
    scripted('ehlo', '250-scripted.test\n250 STARTTLS')(provider, times);
    fails.strike(provider, times);
  };
  return { ...fails, strike };
}

/**
 * Met while a connection is opened; a message that has one never meets them. While nothing fails a message waits for any
 * connection to be ready, so that of silence it can tell no more than that none was.
 */
export const OPENING_FAULTS: readonly Fault[] = [
  fault('connection refused', 'connect', ({ line }) => line.refuse()),
  fault('silence on the whole line', 'connect', ({ line }) => line.freeze(), SILENT),
  silence('connect', 'connect'),
  fault('hung up on instead of a greeting', 'connect', scripted('connect', 'drop')),
  refusal('connect', 'greeting', '421 4.7.0 Too many connections'),
  refusal('connect', 'greeting', '554 5.7.1 Not you'),
  silence('ehlo', 'connect'),
  fault('hung up on at EHLO', 'connect', scripted('ehlo', 'drop')),
  refusal('ehlo', 'greeting', '421 4.3.2 Closing'),
  over({ tls: 'starttls' }, untrusted),
  over({ tls: 'implicit' }, untrusted),
  over({ tls: 'starttls' }, handshakeCut),
  over({ tls: 'implicit' }, handshakeCut),
  withStartTls(refusal('starttls', 'tls', '454 4.7.0 TLS not available')),
  withStartTls(fault('silence instead of a TLS handshake', 'connect', scripted('starttls', '220 2.0.0 Go'), SILENT)),
  silence('auth', 'connect'),
  fault('hung up on at AUTH', 'auth', scripted('auth', 'drop')),
  refusal('auth', 'auth', '421 4.7.0 Try later'),
  refusal('auth', 'auth', '454 4.7.0 Temporary authentication failure'),
  refusal('auth', 'auth', '535 5.7.8 Bad credentials'),
];

const insideBody = cut('inside the body', 'body', (line) => line.cutAfter(MIDDLE));
const afterFinalDot = cut('after the final dot', 'body', (line) => line.cutAfter('\r\n.\r\n'));

/** Met while a message is sent over an open connection. */
export const SENDING_FAULTS: readonly Fault[] = [
  ...bothWays(refusal('mail', 'mail', '421 4.4.2 Idle for too long')),
  ...bothWays(refusal('rcpt', 'rcpt', '421 4.7.0 Too many')),
  ...bothWays(refusal('data', 'data', '421 4.3.2 Closing')),
  ...bothWays(refusal('message', 'final', '421 4.3.2 Closing')),
  refusal('message', 'final', '451 4.7.1 Greylisted'),
  refusal('message', 'final', '454 4.7.0 Throttled'),
  refusal('rcpt', 'rcpt', '550 5.1.1 Unknown'),
  refusal('message', 'final', '554 5.7.1 Spam'),
  ...bothWays(cut('before MAIL', 'mail', (line) => line.cutBefore('MAIL FROM'))),
  ...bothWays(cut('after MAIL', 'mail', (line) => line.cutBefore('RCPT TO'))),
  ...bothWays(cut('after RCPT', 'mail', (line) => line.cutBefore('DATA\r\n'))),
  ...bothWays(cut('after DATA', 'mail', (line) => line.cutAfter('DATA\r\n'))),
  ...bothWays(unknown(insideBody, 0)),
  ...bothWays(unknown(afterFinalDot, 1)),
  ...bothWays(silence('mail', 'mail')),
  ...bothWays(silence('data', 'mail')),
  ...bothWays(unknown(silence('message', 'body'), 1)),
  unknown(fault('silence inside the answer to the final dot', 'body', scripted('message', '250-2.0.0 Ok'), SILENT), 1),
];

/** Promise 4: whether another transport may be tried in the same send. */
export const mayGoElsewhere = ({ told }: Fault): boolean => told.outcome === 'not-sent' && !told.permanent;

/** Whether it looks like a connection that the server has ended meanwhile. */
export const looksStale = (fails: Fault): boolean =>
  mayGoElsewhere(fails) && (fails.told.replyCode === undefined || fails.told.replyCode === 421);
