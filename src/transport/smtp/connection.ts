import SMTPConnection, { type SMTPConnectionAuth, type SMTPConnectionCallback } from 'nodemailer/lib/smtp-connection';
import type { Socket } from 'node:net';

/** What nodemailer's connection has inside, as far as it is used here. All of it may be missing in another release. */
interface Inside {
  _sendCommand?: (command: string) => void;
  _responseActions?: ((reply: string) => void)[];
  _supportedExtensions?: string[];
  _socket?: Socket | false | null;
}

/** nodemailer's SMTP connection with what a pool lacks in it. */
export class Connection extends SMTPConnection {
  /** Whether the server takes MAIL, RCPT and DATA in one round trip (RFC 2920). */
  get pipelining(): boolean {
    return this.inside._supportedExtensions?.includes('PIPELINING') ?? false;
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

  /** RFC 5321 §4.1.1.9. nodemailer knows no NOOP; should its inside change, RSET does the same between messages. */
  noop(done: (error: Error | null) => void): void {
    const { _responseActions: actions, _sendCommand: send } = this.inside;
    if (this.destroyed || !actions || !send) return this.reset(done);
    actions.push((reply) => done(reply.startsWith('2') ? null : refused(reply)));
    send.call(this, 'NOOP');
  }

  /** From now on this much silence ends the connection; 0 for any. Milliseconds. */
  patience(silence: number): void {
    const { _socket: socket } = this.inside;
    if (socket) socket.setTimeout(silence);
  }

  /** Whether the open connection keeps the process from ending. */
  hold(held: boolean): void {
    const { _socket: socket } = this.inside;
    if (!socket) return;
    if (held) socket.ref();
    else socket.unref();
  }

  private get inside(): Inside {
    return this;
  }
}

function refused(response: string): Error {
  return Object.assign(new Error(response), { response, responseCode: Number(response.slice(0, 3)) });
}
