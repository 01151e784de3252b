import { afterEach, describe, expect, it, onTestFinished, vi } from 'vitest';
import { sendNow } from '../../src/delivery/priority.js';
import { MailDeliveryError } from '../../src/errors.js';
import { Routes } from '../../src/transport/route.js';
import { Tenants } from '../../src/transport/tenants.js';
import { plainMessage } from '../support/message.js';
import { guarded } from './routes.js';
import { failure } from './smtp.js';
import { StubTransport } from './stub.js';

afterEach(() => {
  vi.useRealTimers();
});

function routesTo(resolve: (name: string) => Promise<unknown>, transport = new StubTransport()): Routes {
  const tenants = new Tenants({ resolve, create: () => guarded(transport) });
  onTestFinished(() => tenants.close(0).catch(() => undefined));
  return new Routes([], undefined, tenants);
}

describe('a source of transports that does not answer', () => {
  const hangs = () => new Promise(() => undefined);

  it('holds up a priority mail no longer than it may take', async () => {
    vi.useFakeTimers();
    const sending = sendNow({ ...plainMessage(), transport: 'acme' }, routesTo(hangs), { id: '1', timeout: 2_000 });
    const outcome = sending.catch((error: unknown) => error);
    await vi.advanceTimersByTimeAsync(2_000);
    const error = await outcome;
    expect(error).toBeInstanceOf(MailDeliveryError);
    expect(error).toMatchObject({ outcome: 'not-sent', permanent: false, attempts: [{ transport: 'acme' }] });
  });

  it('holds up bulk mail for a while, and is asked anew afterwards', async () => {
    vi.useFakeTimers();
    let asked = 0;
    const routes = routesTo(() => (++asked === 1 ? hangs() : Promise.resolve({})));
    const waiting = failure(routes.for('bulk', 'acme'));
    await vi.advanceTimersByTimeAsync(60_000);
    expect(await waiting).toMatchObject({ phase: 'queue', outcome: 'not-sent', permanent: false });
    expect(await routes.for('bulk', 'acme')).toHaveLength(1);
  });
});

describe('a transport of a tenant’s own whose close() fails', () => {
  it('harms nobody when it is replaced', async () => {
    vi.useFakeTimers();
    const rejections: unknown[] = [];
    const rejected = (reason: unknown) => rejections.push(reason);
    process.on('unhandledRejection', rejected);
    onTestFinished(() => void process.off('unhandledRejection', rejected));
    const transport = new StubTransport();
    const close = vi.spyOn(transport, 'close').mockRejectedValue(new Error('It is stuck'));
    const routes = routesTo(() => Promise.resolve({}), transport);
    await routes.for('priority', 'acme');
    await vi.advanceTimersByTimeAsync(30 * 60_000);
    vi.useRealTimers();
    await new Promise((resolve) => setImmediate(resolve));
    expect(close).toHaveBeenCalled();
    expect(rejections).toEqual([]);
  });
});
