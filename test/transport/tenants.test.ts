import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { MailValidationError } from '../../src/errors.js';
import { GuardedTransport } from '../../src/transport/guarded.js';
import { Routes } from '../../src/transport/route.js';
import { Tenants } from '../../src/transport/tenants.js';
import { guarded, quietEvents } from './routes.js';
import { failure, Gate, mail } from './smtp.js';
import { NOW, StubTransport, trouble } from './stub.js';

const MINUTE = 60_000;

/** What a tenant's configuration becomes. */
class TenantTransport extends StubTransport {
  closed: number[] = [];
  starts = 0;

  constructor(readonly config: unknown) {
    super();
  }

  start(): Promise<void> {
    this.starts++;
    return Promise.resolve();
  }

  override close(within = -1): Promise<void> {
    this.closed.push(within);
    return Promise.resolve();
  }
}

const made: TenantTransport[] = [];
const asked: string[] = [];
let resolve: (name: string) => unknown;
let tenants: Tenants;

beforeEach(() => {
  vi.useFakeTimers({ now: NOW });
  made.length = asked.length = 0;
  resolve = (name) => ({ url: `smtp://${name}` });
  tenants = new Tenants({
    resolve: async (name) => {
      asked.push(name);
      return resolve(name);
    },
    create: (_name, config) => {
      const transport = new TenantTransport(config);
      made.push(transport);
      return guarded(transport);
    },
  });
});
afterEach(async () => {
  await tenants.close(0);
  vi.useRealTimers();
});

/** Sends by the tenant's transport; lets the clock run, which the guard's checks and the sweeping go by. */
const sendBy = (transport: GuardedTransport | undefined) =>
  transport!.send(mail(), { lane: 'priority', signal: new AbortController().signal });
const later = (milliseconds: number) => vi.advanceTimersByTimeAsync(milliseconds);

describe('a tenant’s transport', () => {
  it('is made and started once, of what the source gives for its name', async () => {
    const transport = await tenants.get('acme');
    await later(MINUTE - 1);
    expect(await tenants.get('acme')).toBe(transport);
    expect(await tenants.get('other')).not.toBe(transport);
    expect(asked).toEqual(['acme', 'other']);
    expect(made).toMatchObject([
      { config: { url: 'smtp://acme' }, starts: 1 },
      { config: { url: 'smtp://other' }, starts: 1 },
    ]);
  });

  it('is looked up once for all who ask at the same time', async () => {
    const gate = new Gate();
    resolve = () => gate.pass().then(() => ({ url: 'smtp://acme' }));
    const first = tenants.get('acme');
    const second = tenants.get('acme');
    gate.open();
    expect(await first).toBe(await second);
    expect(asked).toEqual(['acme']);
    expect(made).toHaveLength(1);
  });

  it('is kept after a minute when the answer is the same', async () => {
    resolve = () => ({ url: 'smtp://acme', auth: { user: 'acme', pass: 'x' } });
    const transport = await tenants.get('acme');
    await later(MINUTE);
    expect(await tenants.get('acme')).toBe(transport);
    expect(asked).toHaveLength(2);
    await later(MINUTE - 1);
    expect(await tenants.get('acme')).toBe(transport);
    expect(asked).toHaveLength(2);
    expect(made).toMatchObject([{ starts: 1, closed: [] }]);
  });

  class Keyed {
    readonly #key = Math.random();
    send = async () => this.#key;
  }

  it.each<[string, (given: Keyed) => unknown]>([
    ['a transport', (transport) => ({ transport })],
    ['a client of SES', (client) => ({ ses: { client } })],
    ['a transport of one’s own', (transport) => transport],
  ])('is kept when %s in the answer is the same, and replaced by one that looks the same', async (_, answer) => {
    const send = () => Promise.resolve(0);
    const given = Object.assign(new Keyed(), { send });
    resolve = () => answer(given);
    const transport = await tenants.get('acme');
    await later(MINUTE);
    expect(await tenants.get('acme')).toBe(transport);
    resolve = () => answer(Object.assign(new Keyed(), { send }));
    await later(MINUTE);
    expect(await tenants.get('acme')).not.toBe(transport);
  });

  it('is replaced when the answer is another, and finishes what it was sending', async () => {
    const old = await tenants.get('acme');
    const gate = new Gate();
    made[0]!.onSend = () => gate.pass();
    const sending = sendBy(old);
    resolve = () => ({ url: 'smtp://new' });
    await later(MINUTE);
    const transport = await tenants.get('acme');
    expect(transport).not.toBe(old);
    expect(made.map(({ config }) => config)).toEqual([{ url: 'smtp://acme' }, { url: 'smtp://new' }]);
    await later(MINUTE - 1);
    expect(made[0]!.closed).toEqual([]);
    gate.open();
    await sending;
    // Whatever is on its way by now gets another minute.
    await later(2 * MINUTE);
    expect(made[0]!.closed).toEqual([MINUTE]);
    expect(made[1]!.closed).toEqual([]);
  });

  it('is used on while the source fails', async () => {
    const first = await tenants.get('acme');
    resolve = () => {
      throw new Error('The database is away');
    };
    vi.setSystemTime(Date.now() + MINUTE);
    expect(await tenants.get('acme')).toBe(first);
    expect(asked).toEqual(['acme', 'acme']);
  });

  it('is given up when the source knows it no longer, and found again when it does', async () => {
    await tenants.get('acme');
    resolve = () => undefined;
    await later(MINUTE);
    expect(await tenants.get('acme')).toBeUndefined();
    expect(await tenants.get('acme')).toBeUndefined();
    resolve = () => ({ url: 'smtp://acme' });
    expect(await tenants.get('acme')).toBeDefined();
    expect(asked).toHaveLength(4);
    await later(2 * MINUTE);
    expect(made).toMatchObject([{ closed: [MINUTE] }, { closed: [] }]);
  });

  it('is asked for again at once when its login was refused', async () => {
    const old = await tenants.get('acme');
    made[0]!.onSend = made[0]!.onVerify = () => Promise.reject(trouble({ phase: 'auth', replyCode: 535 }));
    await failure(sendBy(old));
    // The password is still the old one.
    expect(await tenants.get('acme')).toBe(old);
    resolve = () => ({ url: 'smtp://acme', auth: { user: 'acme', pass: 'new' } });
    const transport = await tenants.get('acme');
    expect(transport).not.toBe(old);
    await sendBy(transport);
    await tenants.get('acme');
    expect(asked).toHaveLength(3);
  });

  it('is not asked for again at once when something else went wrong', async () => {
    const transport = await tenants.get('acme');
    made[0]!.onSend = made[0]!.onVerify = () => Promise.reject(trouble());
    await failure(sendBy(transport));
    expect(await tenants.get('acme')).toBe(transport);
    expect(asked).toHaveLength(1);
  });

  it('is closed when it was not used for five minutes, and made anew when it is used again', async () => {
    const idle = await tenants.get('idle');
    for (let minute = 0; minute < 7; minute++) {
      await tenants.get('busy');
      await later(MINUTE);
    }
    expect(made).toMatchObject([
      { config: { url: 'smtp://idle' }, closed: [MINUTE] },
      { config: { url: 'smtp://busy' }, closed: [] },
    ]);
    expect(await tenants.get('idle')).not.toBe(idle);
  });

  it('is closed with the module, one that was replaced as well', async () => {
    await tenants.get('acme');
    resolve = () => ({ url: 'smtp://new' });
    await later(MINUTE);
    await tenants.get('acme');
    await tenants.close(500);
    expect(made.map(({ closed }) => closed)).toEqual([[500], [500]]);
    expect(vi.getTimerCount()).toBe(0);
  });

  it('that is looked up while the module closes is not left open', async () => {
    const gate = new Gate();
    resolve = () => gate.pass().then(() => ({ url: 'smtp://acme' }));
    const late = tenants.get('acme').catch(() => undefined);
    const closing = tenants.close(500);
    gate.open();
    await Promise.all([late, closing]);
    expect(made.filter(({ closed }) => closed.length === 0)).toEqual([]);
  });
});

describe('a route by a tenant’s name', () => {
  const routes = () => new Routes([new GuardedTransport(new StubTransport(), quietEvents())], undefined, tenants);

  it('is the tenant’s transport alone, and none of the configured ones is looked up', async () => {
    expect(await routes().for('priority', 'acme')).toEqual([await tenants.get('acme')]);
    expect(await routes().for('bulk', 'main')).toMatchObject([{ name: 'main' }]);
    expect(asked).toEqual(['acme']);
  });

  it('that nobody knows is a wrong message, and names it', async () => {
    resolve = () => undefined;
    const looking = routes().for('bulk', 'acme');
    await expect(looking).rejects.toBeInstanceOf(MailValidationError);
    await expect(looking).rejects.toThrow(
      'transport: "acme" is not configured; known are main, and resolveTransport knows none of that name',
    );
  });

  it('whose source fails was not asked, and tells the reason', async () => {
    const cause = new Error('the database is away');
    resolve = () => Promise.reject(cause);
    const error = await failure(routes().for('priority', 'acme'));
    expect(error).toMatchObject({ transport: 'acme', phase: 'queue', outcome: 'not-sent', permanent: false, cause });
    expect(error.reply).toBe('resolveTransport failed: the database is away');
    // Nothing of it is remembered.
    resolve = () => ({ url: 'smtp://acme' });
    expect(await routes().for('priority', 'acme')).toHaveLength(1);
  });
});
