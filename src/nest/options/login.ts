import { PASSWORD_METHODS, type SmtpLogin } from '../../transport/smtp/login.js';
import { fail, failUnseen, type OptionReader } from './reader.js';

/** What nodemailer can make access tokens of: one of these must be there. */
const TOKEN_SOURCES = ['accessToken', 'refreshToken', 'serviceClient', 'provisionCallback'] as const;

/** The login of one transport, from its URL or its `auth`. @throws MailConfigError */
export function parseLogin(reader: OptionReader, url: URL): SmtpLogin | undefined {
  const given = reader.raw('auth');
  if (given === undefined) {
    if (url.username === '') return undefined;
    if (url.password === '') fail(reader.pathOf('url'), url.href, 'Give a password with the user.');
    return { user: decode(url.username), pass: decode(url.password) };
  }
  if (typeof given !== 'object') failUnseen(reader.pathOf('auth'), given, 'Give an object such as { user, pass }.');
  if (url.username !== '') fail(reader.pathOf('auth'), given, 'The url has a login already; give one of them.');
  const auth = reader.section('auth');
  const user = auth.string('user') ?? fail(auth.pathOf('user'), undefined, 'Give the user to log in as.');
  if (auth.oneOf('type', ['login', 'OAuth2'] as const, 'login') === 'OAuth2') {
    const options = given as Extract<SmtpLogin, { type: 'OAuth2' }>;
    if (TOKEN_SOURCES.every((source) => options[source] === undefined)) {
      fail(reader.pathOf('auth'), given, `Give one of ${TOKEN_SOURCES.join(', ')}.`);
    }
    return options;
  }
  const pass = auth.raw('pass');
  if (typeof pass !== 'string' || pass === '') failUnseen(auth.pathOf('pass'), pass, 'Give the password as a string.');
  const method = auth.raw('method') === undefined ? undefined : auth.oneOf('method', PASSWORD_METHODS, 'PLAIN');
  auth.end();
  return { user, pass, ...(method === undefined ? {} : { method }) };
}

/** Credentials are percent-encoded in a URL; one that is not stays as it is. */
function decode(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}
