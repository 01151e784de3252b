import { MailValidationError, reasonOf } from '../errors.js';
import { functionName } from '../message/classify.js';
import type { Message } from '../message/message.js';
import type { MessageRules } from '../message/parse.js';
import { changedMessage, mailOf, wrongFields, type InterceptedMail, type MailChanges } from './intercepted-mail.js';
import { InterceptorError, Veto, type Draft, type Interception } from './interception.js';
import { answered } from './time-limit.js';

type Answer = MailChanges | boolean | void;

/**
 * Looks at every message of both lanes right before it is sent, and may change it or veto it. It is asked again at each try
 * of the same message, by whatever process makes it, so it is to say the same of the same message.
 *
 * @returns what is to be different, or the whole mail with that in it; false for a message that is not to be sent; nothing,
 *   or true, for one that is to be sent as it is
 * @throws anything: a priority mail is not sent, and one of the bulk lane is tried again
 */
export type Interceptor = (mail: InterceptedMail) => Answer | Promise<Answer>;

/** The application's interceptors, one after the other. */
export class Interceptors implements Interception {
  /**
   * @param interceptors each sees what those before it have made
   * @param rules for what they make
   */
  constructor(
    private readonly interceptors: readonly Interceptor[],
    private readonly rules: MessageRules,
  ) {}

  async intercept(draft: Draft): Promise<Message> {
    let { message } = draft;
    for (const [index, interceptor] of this.interceptors.entries()) {
      const name = functionName('intercept', interceptor, index);
      const mail = mailOf({ ...draft, message });
      const answer = await answerOf(interceptor, mail, name);
      if (answer === false) throw new Veto(draft.id, name);
      if (answer === undefined || answer === true || answer === mail) continue;
      message = await this.changed(mail, answer, name, message);
    }
    return message;
  }

  private async changed(mail: InterceptedMail, answer: unknown, name: string, message: Message): Promise<Message> {
    const permanent = true;
    if (typeof answer !== 'object' || answer === null || Array.isArray(answer)) {
      const what = `returned ${answer === null ? 'null' : Array.isArray(answer) ? 'a list' : `a ${typeof answer}`}`;
      throw new InterceptorError(mail.id, name, `${what}. It may return changes, false or nothing`, { permanent });
    }
    const wrong = wrongFields(mail, answer);
    if (wrong.length > 0) {
      throw new InterceptorError(mail.id, name, `changes ${wrong.join(', ')}, which no interceptor can`, { permanent });
    }
    try {
      return await changedMessage(mail, answer, this.rules, message);
    } catch (cause) {
      if (!(cause instanceof MailValidationError)) throw cause;
      throw new InterceptorError(mail.id, name, `made an invalid mail of it. ${cause.message}`, { permanent, cause });
    }
  }
}

async function answerOf(interceptor: Interceptor, mail: InterceptedMail, name: string): Promise<unknown> {
  try {
    const answer = interceptor(mail);
    return answer instanceof Promise ? await answered(answer) : answer;
  } catch (cause) {
    throw new InterceptorError(mail.id, name, `failed: ${reasonOf(cause)}`, { permanent: false, cause });
  }
}
