import { describe, expect, it, onTestFinished } from 'vitest';
import { parseTenant } from '../../src/nest/options/parse.js';
import { createTransport } from '../../src/nest/transports.js';
import { startScriptedSmtp } from '../support/scripted-smtp.js';
import { quietEvents } from '../transport/routes.js';
import { refusal, settings, withTransport } from './options.js';

const http = (options: object = {}) => ({
  probe: { type: 'http', url: 'https://mail.internal:8026/status', ...options },
});
const TOKEN = 's3cret-s3cret-s3cret';

describe('the probe of a transport', () => {
  it('is none by default', () => {
    expect(settings({})).not.toHaveProperty('probe');
  });

  it('may be one word', () => {
    const probe = {
      type: 'smtp',
      every: 5_000,
      timeout: 5_000,
      onProbeFailure: 'wait',
      limits: { maxLatency: 3_000 },
    };
    expect(settings({ probe: 'smtp' }).probe).toEqual(probe);
    expect(settings({ probe: { type: 'smtp' } }).probe).toEqual(probe);
  });

  it('may be a status page, with limits for what has one', () => {
    expect(settings(http()).probe).toEqual({
      type: 'http',
      url: new URL('https://mail.internal:8026/status'),
      every: 5_000,
      timeout: 5_000,
      onProbeFailure: 'wait',
      limits: { maxLoad: 2, minFreeMemory: 5, minFreeDisk: 10 },
    });
  });

  it('is read, durations in words', () => {
    const admit = () => true;
    const limits = { maxLoad: 0.9, minFreeMemory: 0, minFreeDisk: 99, maxQueue: 0 };
    const common = { every: '10s', timeout: '1s', onProbeFailure: 'send', admit };
    expect(settings(http({ ...limits, ...common, token: TOKEN })).probe).toMatchObject({
      every: 10_000,
      timeout: 1_000,
      onProbeFailure: 'send',
      admit,
      token: TOKEN,
      limits,
    });
    expect(settings({ probe: { type: 'smtp', ...common, maxLatency: '500ms' } }).probe).toMatchObject({
      admit,
      limits: { maxLatency: 500 },
    });
  });

  it('watches from the start, and ends with the transport', async () => {
    const server = await startScriptedSmtp();
    const context = { mailer: 'mail', store: undefined, events: quietEvents(), onError: () => undefined };
    const transport = createTransport(settings({ url: server.url, probe: 'smtp' }), context);
    onTestFinished(() => transport.close(0));
    expect(transport.standing.load).toEqual({ state: 'unknown' });
    await transport.start();
    expect(transport.standing.load).toMatchObject({ state: 'ready', latency: expect.any(Number) as number });
    expect(createTransport(settings({ url: server.url }), context).standing).not.toHaveProperty('load');
  });

  it('may be a tenant’s', () => {
    expect(parseTenant('acme', { url: 'smtp://host', probe: 'smtp' })).toMatchObject({ probe: { type: 'smtp' } });
  });

  it.each<[string, object, string]>([
    [
      'another word',
      { probe: 'http' },
      `probe is "http". Give 'smtp', or an object such as { type: 'http', url, token }.`,
    ],
    ['a list', { probe: ['smtp'] }, 'probe is a list. Give an object.'],
    ['no type', { probe: { url: 'http://host' } }, `probe.type is missing. Give 'smtp' or 'http'.`],
    ['another type', { probe: { type: 'snmp' } }, `probe.type is "snmp". Give 'smtp' or 'http'.`],
    ['no address', { probe: { type: 'http' } }, 'probe.url is missing. Give the address of a status page, such as'],
    [
      'no address on the web',
      http({ url: 'file:///etc/passwd' }),
      'probe.url is "file:///etc/passwd". Give the address',
    ],
    [
      'a login in the address',
      http({ url: 'https://me:s3cret@host/status' }),
      'probe.url is "https://***@host/status". Give it without credentials; a secret is the `token`.',
    ],
    ['an empty token', http({ token: '' }), 'probe.token is empty. Give what the agent was given'],
    ['a token of several lines', http({ token: 's3cret\nX: y' }), 'probe.token is of type string. Give what the agent'],
    ['a number for a token', http({ token: 12345678 }), 'probe.token is of type number. Give what the agent'],
    ['a load of nothing', http({ maxLoad: 0 }), 'probe.maxLoad is 0. Give a number above 0.'],
    ['text for a load', http({ maxLoad: '2' }), 'probe.maxLoad is "2". Give a number above 0.'],
    ['all memory free', http({ minFreeMemory: 100 }), 'probe.minFreeMemory is 100. Give a whole number from 0 to 99.'],
    ['less than no disk', http({ minFreeDisk: -1 }), 'probe.minFreeDisk is -1. Give a whole number from 0 to 99.'],
    ['half a message', http({ maxQueue: 0.5 }), 'probe.maxQueue is 0.5. Give a whole number from 0 to 1000000000.'],
    ['no pause', http({ every: 99 }), 'probe.every is 99. Give at least 100 ms.'],
    ['no time', http({ timeout: 0 }), 'probe.timeout is 0. Give at least 1 ms.'],
    [
      'another failure',
      http({ onProbeFailure: 'stop' }),
      `probe.onProbeFailure is "stop". Give one of 'wait', 'send'.`,
    ],
    ['no function', http({ admit: true }), 'probe.admit is true. Give a function that takes the figures and returns'],
    [
      'more latency than it waits for',
      { probe: { type: 'smtp', maxLatency: '5s' } },
      'probe.maxLatency is "5s". Give less than timeout, which is 5000 ms.',
    ],
    [
      'less time than the latency takes',
      { probe: { type: 'smtp', timeout: '3s' } },
      'probe.timeout is 3000. Give more than maxLatency, which is 3000 ms.',
    ],
    [
      'a limit of the other kind',
      { probe: { type: 'smtp', maxLoad: 2 } },
      'probe.maxLoad is not known. Known here: admit, every, maxLatency, onProbeFailure, timeout, type.',
    ],
  ])('stops the boot with %s, and tells no secret', (_, transport, expected) => {
    const told = refusal({ ...withTransport(transport), queue: false });
    expect(told).toContain(`The mail option transports[0].${expected}`);
    expect(told).not.toMatch(/s3cret|12345678/);
  });
});
