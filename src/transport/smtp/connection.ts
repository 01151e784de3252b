import SMTPConnection, { type SMTPConnectionAuth, type SMTPConnectionCallback } from 'nodemailer/lib/smtp-connection';
import type { Socket } from 'node:net';
import type { Capabilities } from './transaction.js';

/** What nodemailer's connection has inside, as far as it is used here. All of it may be missing in another release. */
interface Inside {
  _supportedExtensions?: string[];
  _maxAllowedSize?: number;
  _socket?: Socket | false | null;
  _onSocketData?: (chunk: Buffer) => void;
}

/** nodemailer's SMTP connection: connects, upgrades to TLS and logs in. Then the session goes on without it. */
export class Connection extends SMTPConnection {
  /**
   * Takes the open connection out of nodemailer's hands: replies are heard by whoever has this socket. What happens to the
   * socket is still told by 'error' and 'end'.
   *
   * @throws Error with a release of nodemailer that cannot be taken over
   */
  takeOver(): { socket: Socket; server: Capabilities } {
    const { _socket: socket, _onSocketData: listener, _supportedExtensions: extensions = [] } = this.inside;
    if (!socket || !listener || !socket.listeners('data').includes(listener)) {
      throw new Error('This release of nodemailer is another inside than the ones that are known');
    }
    socket.off('data', listener);
    return {
      socket,
      server: {
        pipelining: extensions.includes('PIPELINING'),
        smtpUtf8: extensions.includes('SMTPUTF8'),
        size: extensions.includes('SIZE'),
        maxSize: this.inside._maxAllowedSize ?? 0,
      },
    };
  }

  /**
   * nodemailer renews an access token that is refused by a 334 with the reason, as Gmail does it. Exchange says 535 at once;
   * then a token that was kept is renewed here.
   */
  override login(auth: SMTPConnectionAuth, done: SMTPConnectionCallback): void {
    const { oauth2 } = auth;
    const kept = oauth2?.accessToken;
    super.login(auth, (refusal, result) => {
      if (!oauth2 || !kept || refusal?.responseCode !== 535) return done(refusal, result);
      const again = (error: Error | null, token = oauth2.accessToken): void => {
        if (error) done(error);
        else if (token === kept) done(refusal);
        else super.login(auth, done);
      };
      // Another connection may have renewed it meanwhile.
      if (oauth2.accessToken === kept) oauth2.getToken(true, again);
      else again(null);
    });
  }

  private get inside(): Inside {
    return this;
  }
}
