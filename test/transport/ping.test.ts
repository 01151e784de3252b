import { afterEach, describe, expect, it, onTestFinished, vi } from 'vitest';
import { ConnectionLeases } from '../../src/transport/connection-leases.js';
import { openProbe } from '../../src/transport/probes/open.js';
import { SmtpTransport } from '../../src/transport/smtp/transport.js';
import { eventually } from '../support/eventually.js';
import { freePort } from '../support/free-port.js';
import { startScriptedSmtp } from '../support/scripted-smtp.js';
import { failure, Gate, mail, send, smtpOptions, smtpTransport } from './smtp.js';
import { count, fakeTimers, started, startedScript } from './started.js';

afterEach(() => {
  vi.useRealTimers();
});

const ever = () => new AbortController().signal;

describe('a ping', () => {
  it('opens a connection of the bulk lane, and keeps it for the next one and for mail', async () => {
    const { server, transport } = await startedScript();
    expect(await transport.ping(ever())).toBeGreaterThan(0);
    await transport.ping(ever());
    await send(transport, mail(), { lane: 'bulk' });
    expect(server.connections).toBe(2);
    // The kept connection of the priority lane was asked once, when it was opened.
    expect(count(server, 'NOOP')).toBe(3);
  });

  it('goes over the priority lane where there is no other', async () => {
    const { server, transport } = await startedScript({}, { lanes: ['priority'] });
    await transport.ping(ever());
    expect(server.connections).toBe(1);
  });

  it('goes over a connection that is open where processes share a limit', async () => {
    const server = await startScriptedSmtp();
    const leases = new ConnectionLeases('main', 1, 0, undefined, () => undefined);
    const transport = new SmtpTransport(smtpOptions(server.url), leases);
    onTestFinished(() => transport.close(0));
    await send(transport, mail());
    await transport.ping(ever());
    expect(server.connections).toBe(1);
  });

  it('closes its connection where idle ones are not kept', async () => {
    const { server, transport } = await startedScript({}, { minWarm: 0, idleTimeout: 0 });
    await transport.ping(ever());
    await eventually(() => server.open === 0);
  });

  it('takes another connection before the server counts its NOOPs as errors', async () => {
    const server = await startScriptedSmtp();
    const transport = smtpTransport(server.url);
    for (let pings = 0; pings < 61; pings++) await transport.ping(ever());
    expect(server.connections).toBe(2);
  });

  it('begins to count anew with each message', async () => {
    const server = await startScriptedSmtp();
    const transport = smtpTransport(server.url);
    for (let pings = 0; pings < 80; pings++) {
      if (pings === 40) await send(transport, mail(), { lane: 'bulk' });
      await transport.ping(ever());
    }
    expect(server.connections).toBe(1);
  });

  it('waits for the answer to a message where all connections are at work', async () => {
    const gate = new Gate();
    const { server, transport } = await startedScript({
      message: async () => {
        await gate.pass();
        return undefined;
      },
    });
    const sending = send(transport, mail(), { lane: 'bulk' });
    await eventually(() => gate.waiting === 1);
    const pinging = transport.ping(ever());
    gate.open();
    expect(await pinging).toBeGreaterThan(0);
    await sending;
    expect(server.connections).toBe(2);
  });

  it('does not wait for it for ever', async () => {
    const gate = new Gate();
    const { transport } = await startedScript({
      message: async () => {
        await gate.pass();
        return undefined;
      },
    });
    const sending = send(transport, mail(), { lane: 'bulk' });
    await eventually(() => gate.waiting === 1);
    const late = new AbortController();
    const pinging = failure(transport.ping(late.signal));
    late.abort(new Error('No answer within 5000 ms'));
    expect((await pinging).reply).toBe('No answer within 5000 ms; all connections are at work');
    gate.open();
    await sending;
  });

  it('keeps no message waiting', async () => {
    const noop = new Gate();
    const { server, transport } = await startedScript(
      {
        noop: async () => {
          await noop.pass();
          return undefined;
        },
      },
      { minWarm: 0 },
    );
    const pinging = transport.ping(ever());
    await eventually(() => noop.waiting === 1);
    await send(transport, mail(), { lane: 'bulk' });
    await send(transport, mail(), { lane: 'priority' });
    noop.open();
    await pinging;
    expect(server.messages).toHaveLength(2);
  });

  it('ends with its signal, and then its connection is not used any more', async () => {
    const { server, transport } = await startedScript({ noop: () => 'hang' }, { minWarm: 0 });
    const late = new AbortController();
    const pinging = failure(transport.ping(late.signal));
    await eventually(() => count(server, 'NOOP') === 1);
    late.abort(new Error('No answer within 5000 ms'));
    expect(await pinging).toMatchObject({ phase: 'connect', reply: 'No answer within 5000 ms' });
    await eventually(() => server.open === 0);
  });

  it('tells that the server hung up, or is not there', async () => {
    const { transport } = await startedScript({ noop: () => 'drop' }, { minWarm: 0 });
    expect((await failure(transport.ping(ever()))).reply).toBe('It did not answer a NOOP');
    const nobody = smtpTransport(`smtp://127.0.0.1:${await freePort()}`);
    expect((await failure(nobody.ping(ever()))).reply).toContain('ECONNREFUSED');
  });
});

describe('the time of replies', () => {
  it('is known after the first, and forgotten when there was none for a while', async () => {
    const gate = new Gate();
    const { transport } = await startedScript({
      message: async () => {
        await gate.pass();
        return '451 4.3.0 Try later' as const;
      },
    });
    expect(transport.replyTime).toBeUndefined();
    fakeTimers();
    const sending = failure(send(transport, mail(), { lane: 'bulk' }));
    await eventually(() => gate.waiting === 1);
    await vi.advanceTimersByTimeAsync(4_000);
    gate.open();
    await sending;
    expect(transport.replyTime).toBe(4_000);
    await vi.advanceTimersByTimeAsync(30_000);
    expect(transport.replyTime).toBe(4_000);
    await vi.advanceTimersByTimeAsync(1);
    expect(transport.replyTime).toBeUndefined();
  });
});

describe('a probe over SMTP', () => {
  it('finds a server overloaded that is slow to answer, and ready again when it is not', async () => {
    let slow = true;
    const gate = new Gate();
    const { transport } = await started(
      (
        await startScriptedSmtp({
          noop: async () => {
            if (slow) await gate.pass();
            return undefined;
          },
        })
      ).url,
      { minWarm: 0 },
    );
    fakeTimers();
    const settings = { every: 5_000, timeout: 5_000, onProbeFailure: 'wait', limits: { maxLatency: 3_000 } } as const;
    const probe = openProbe({ type: 'smtp', ...settings }, transport);
    const first = probe.start(() => undefined);
    await eventually(() => gate.waiting === 1);
    await vi.advanceTimersByTimeAsync(4_000);
    gate.open();
    await first;
    expect(probe.load).toMatchObject({ state: 'overloaded', reason: 'latency 4000 ms, above 3000' });
    slow = false;
    await vi.advanceTimersByTimeAsync(5_000);
    await eventually(() => probe.admits);
    probe.stop();
  });
});
