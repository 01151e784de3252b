import { setMaxListeners } from 'node:events';
import { describe, expect, it, onTestFinished, vi } from 'vitest';
import type { Lane } from '../../src/message/message.js';
import type { Store } from '../../src/store/store.js';
import { ConnectionLeases } from '../../src/transport/connection-leases.js';
import { SmtpTransport } from '../../src/transport/smtp/transport.js';
import { eventually } from '../support/eventually.js';
import { openQueueStore } from '../support/open-store.js';
import { startScriptedSmtp } from '../support/scripted-smtp.js';
import { STORES } from '../support/stores.js';
import { failure, mail, send, smtpOptions, subjectOf } from './smtp.js';

async function open(connection: string): Promise<Store> {
  const store = await openQueueStore(connection);
  onTestFinished(() => store.close(1_000));
  await store.ready();
  return store;
}

async function leasesOn(store: Store): Promise<string[]> {
  const keys: string[] = [];
  for await (const key of store.records.scan('connection/')) keys.push(key);
  return keys;
}

const never = new AbortController().signal;
setMaxListeners(0, never);

/** After a second without an answer processes count alone, as they should; here the store may take its time. */
function withPatience(): void {
  const { setTimeout } = globalThis;
  const patient = (work: () => void, delay = 0) => setTimeout(work, delay === 1_000 ? 60_000 : delay);
  const spy = vi.spyOn(globalThis, 'setTimeout').mockImplementation(patient);
  onTestFinished(() => spy.mockRestore());
}
/** The transport has pauses of a second too, so a store that a busy machine keeps waiting is tried again. */
const PATIENTLY = { timeout: 60_000, retry: 3 };

// An embedded store has one process.
describe.each(STORES.filter(({ name }) => name !== 'embedded'))('on $name', (where) => {
  it('two processes hold no more connections than the total, whoever asks', { timeout: 60_000 }, async () => {
    withPatience();
    const connection = await where.create();
    const stores = await Promise.all([open(connection), open(connection)]);
    const errors: Error[] = [];
    const [a, b] = stores.map((store) => new ConnectionLeases('main', 4, 1, store, (error) => errors.push(error)));
    let held = 0;
    let most = 0;
    const use = async (leases: ConnectionLeases, lane: Lane, records: Store['records']): Promise<void> => {
      const giveBack = await leases.take(lane, never);
      most = Math.max(most, ++held);
      await records.get(['anything']);
      held--;
      giveBack();
    };
    const all = Array.from({ length: 24 }, (_, number) => {
      const first = number % 2 === 0;
      return use(first ? a! : b!, number % 3 === 0 ? 'priority' : 'bulk', stores[first ? 0 : 1].records);
    });
    await Promise.all(all);
    expect(errors).toEqual([]);
    expect(most).toBeLessThanOrEqual(4);
    await Promise.all([a!.close(), b!.close()]);
    expect(await leasesOn(stores[0])).toEqual([]);
  });

  it('two processes open no more connections than the total', PATIENTLY, async () => {
    const most = { open: 0 };
    const note = () => void (most.open = Math.max(most.open, server.open));
    // Connections that have been said goodbye to are still open for a moment.
    const quit = () => new Promise<undefined>((resolve) => setTimeout(() => resolve(undefined), 20));
    const server = await startScriptedSmtp({ ehlo: note, mail: note, message: note, quit });
    const connection = await where.create();
    const errors: Error[] = [];
    const processes = await Promise.all(
      [1, 2].map(async () => {
        const leases = new ConnectionLeases('main', 3, 1, await open(connection), (error) => errors.push(error));
        const options = { maxConnections: 5, minWarm: 1, maxMessages: 5, idleTimeout: 50 };
        return new SmtpTransport(smtpOptions(server.url, options), leases);
      }),
    );
    // Each keeps one, and there are three: the second of them may have to wait for a place.
    const monitor = { roundTrip: () => undefined, connectFailed: (error: Error) => errors.push(error) };
    await Promise.all(processes.map((transport) => transport.start(monitor)));
    const all = Array.from({ length: 60 }, (_, number) => `${number}`);
    const lanes: Lane[] = ['priority', 'bulk', 'bulk'];
    await Promise.all(
      all.map((subject, number) =>
        send(processes[number % 2]!, mail(subject), { lane: lanes[number % 3]!, signal: never }),
      ),
    );
    expect(errors).toEqual([]);
    expect(server.taken.map(subjectOf).sort()).toEqual(all.sort());
    expect(most.open).toBeLessThanOrEqual(3);

    // What they leave is there for others at once.
    await Promise.all(processes.map((transport) => transport.close(1_000)));
    expect(await leasesOn(await open(connection))).toEqual([]);
    await eventually(() => server.open === 0);
  });
});

it('a connection that could not be opened takes no place', async () => {
  const server = await startScriptedSmtp({ connect: (_, connection) => (connection < 4 ? '554 5.7.1 No' : undefined) });
  const leases = new ConnectionLeases('main', 1, 0, undefined, () => undefined);
  const transport = new SmtpTransport(smtpOptions(server.url), leases);
  onTestFinished(() => transport.close(0));
  for (let message = 1; message <= 3; message++) await failure(send(transport));
  await send(transport);
  expect(server.taken).toHaveLength(1);
});
