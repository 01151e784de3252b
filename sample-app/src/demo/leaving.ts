import { setTimeout as sleep } from 'node:timers/promises';
import type { Client } from './client.js';
import type { Reader } from './inbox.js';

/** Who was left out of the next post. */
export interface Leaving {
  sent: number;
  suppressed: number;
}

const STAYS = 'mina.park@example.com';
const ASK_EVERY = 100;

/**
 * One reader leaves by the button of a mail program and one by the page that the link leads to; the third one's mail comes
 * back. Then there is another post for them, and for somebody who stays.
 */
export async function leave(client: Client, readers: readonly Reader[]): Promise<Leaving> {
  const [one, other, gone] = readers;
  if (!one || !other || !gone) throw new Error('Three readers are to leave, and fewer have got mail.');
  await client.unsubscribeByProgram(one.link);
  await client.unsubscribeInBrowser(other.link);
  await client.bounce(gone.address);
  const preview = [one.address, other.address, gone.address, STAYS].map((to) => ({ to }));
  const { answer } = await client.post({ author: 'Mina Park', title: 'What is left of the beans', text: '', preview });
  for (;;) {
    const { state, sent, suppressed } = await client.campaign(answer.id);
    if (state === 'completed') return { sent, suppressed };
    await sleep(ASK_EVERY);
  }
}
