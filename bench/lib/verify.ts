import { subscriber } from './newsletter.js';
import { RecordingSink } from './recording-sink.js';
import { RemoteSender, nextIssue } from './senders/remote-sender.js';
import type { SenderName } from './senders/sender.js';
import { median } from './statistics.js';
import { storeFor } from './stores.js';

export interface Verified {
  /** Of a message on the line, the median. */
  bytes: number;
  faults: string[];
}

/** Whether each mail has one recipient, is addressed to it and carries its name, and each of them gets one. */
export async function verifyMails(name: SenderName, count: number, bytes: number): Promise<Verified> {
  const sink = await RecordingSink.start({ record: true });
  const sender = await RemoteSender.start(name, { sink: sink.url, store: await storeFor(name) });
  const issue = nextIssue(count, bytes);
  await sender.run(issue, sink);
  const mails = await sink.mails();
  await sender.stop();
  await sink.stop();

  const expected = new Map(
    Array.from({ length: count }, (_, n) => subscriber(issue.first + n)).map((each) => [each.to, each.name]),
  );
  const wrong = mails.filter(({ recipients, to, subject }) => {
    const [only = ''] = recipients;
    const known = expected.get(only);
    expected.delete(only);
    return recipients.length !== 1 || to !== only || subject !== `News for ${known}`;
  });
  const faults = wrong.slice(0, 1).map(
    (mail) => `${name}: ${wrong.length} mails are not as they were meant, such as
${JSON.stringify(mail)}`,
  );
  if (expected.size > 0) faults.push(`${name}: ${expected.size} subscribers got no mail`);
  return { bytes: median(mails.map((mail) => mail.bytes)), faults };
}
