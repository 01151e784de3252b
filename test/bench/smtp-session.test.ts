import { setImmediate as turn } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import { type Arrival, SmtpSession } from '../../bench/lib/smtp-session.js';

function converse(accept: () => Promise<void> | void = () => undefined) {
  const replies: string[] = [];
  const arrivals: Arrival[] = [];
  let ended = false;
  const session = new SmtpSession({
    reply: (text) => replies.push(text.slice(0, 3)),
    arrived(arrival) {
      arrivals.push(arrival);
      return accept();
    },
    quit: () => (ended = true),
  });
  return { session, replies, arrivals, ended: () => ended };
}

const commands = 'EHLO a\r\nMAIL FROM:<a@x>\r\nRCPT TO:<b@y> NOTIFY=NEVER\r\nDATA\r\n';
const message = 'To: b@y\r\n\r\nHello.\r\n';

describe('the sink of the benchmarks', () => {
  it('reads two mails, wherever the line cuts them', () => {
    const whole = `${commands}${message}.\r\nMAIL FROM:<a@x>\r\nRCPT TO:<c@y>\r\nRCPT TO:<d@y>\r\nDATA\r\n.\r\nQUIT\r\n`;
    for (const step of [1, 7, whole.length]) {
      const { session, replies, arrivals, ended } = converse();
      for (let at = 0; at < whole.length; at += step) session.take(Buffer.from(whole.slice(at, at + step)));
      expect(replies.join(' ')).toBe('220 250 250 250 354 250 250 250 250 354 250 221');
      expect(arrivals.map(({ recipients }) => recipients)).toEqual([['b@y'], ['c@y', 'd@y']]);
      expect(arrivals.map((arrival) => arrival.message.toString())).toEqual([message, '']);
      expect(ended()).toBe(true);
    }
  });

  it('looks at nothing that was sent ahead before it has answered', async () => {
    let answer = () => {};
    const { session, replies } = converse(() => new Promise((resolve) => (answer = resolve)));
    session.take(Buffer.from(`${commands}${message}.\r\nMAIL FROM:<a@x>\r\n`));
    expect(replies).toEqual(['220', '250', '250', '250', '354']);
    answer();
    await turn();
    expect(replies.slice(5)).toEqual(['250', '250']);
  });
});
