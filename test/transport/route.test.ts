import { describe, expect, it } from 'vitest';
import { MailValidationError } from '../../src/errors.js';
import { LANES, type Lane } from '../../src/message/message.js';
import type { Transport } from '../../src/transport/transport.js';
import { routesOf } from './routes.js';

function transport(name: string, region?: string, lanes: readonly Lane[] = LANES, maxConnections = 5) {
  const closed: number[] = [];
  const result: Transport & { closed: number[] } = {
    name,
    lanes,
    maxConnections,
    ...(region === undefined ? {} : { region }),
    send: () => Promise.reject(new Error('Not here')),
    verify: () => Promise.resolve(),
    close: (within) => Promise.resolve(void closed.push(within)),
    closed,
  };
  return result;
}

const names = (transports: readonly Transport[]) => transports.map(({ name }) => name);

describe('the route of a message', () => {
  const transports = [transport('a', 'us'), transport('b', 'eu'), transport('c'), transport('d', 'eu')];

  it('begins in this process’s region, and else keeps the configured order', async () => {
    expect(names(await routesOf(transports, 'eu').for('priority'))).toEqual(['b', 'd', 'a', 'c']);
    expect(names(await routesOf(transports, 'asia').for('priority'))).toEqual(['a', 'b', 'c', 'd']);
  });

  it('does not take transports without a region for near ones when this process has none', async () => {
    expect(names(await routesOf(transports).for('bulk'))).toEqual(['a', 'b', 'c', 'd']);
  });

  it('takes only transports of its lane', async () => {
    const routes = routesOf(
      [transport('p', 'eu', ['priority']), transport('b', 'eu', ['bulk']), transport('pb')],
      'eu',
    );
    expect(names(await routes.for('priority'))).toEqual(['p', 'pb']);
    expect(names(await routes.for('bulk'))).toEqual(['b', 'pb']);
  });

  it('is a single transport where the message names it, whatever its lane and region', async () => {
    const routes = routesOf([...transports, transport('bulk-only', 'us', ['bulk'])], 'eu');
    expect(names(await routes.for('priority', 'c'))).toEqual(['c']);
    expect(names(await routes.for('priority', 'bulk-only'))).toEqual(['bulk-only']);
  });

  it('does not exist for a transport that is not configured', async () => {
    const routes = routesOf(transports, 'eu');
    for (const name of ['e', '', 'toString', '__proto__']) {
      expect(() => routes.check(name)).toThrow(MailValidationError);
      await expect(routes.for('bulk', name)).rejects.toThrow(
        `transport: "${name}" is not configured; known are a, b, c, d`,
      );
    }
  });
});

describe('Routes', () => {
  it('counts the connections of the bulk lane', () => {
    const transports = [
      transport('p', 'eu', ['priority'], 7),
      transport('b', 'eu', ['bulk'], 2),
      transport('pb', 'eu', LANES, 3),
    ];
    expect(routesOf(transports, 'eu').bulkMessages).toBe(5);
  });

  it('closes every transport within the time given', async () => {
    const transports = [transport('a'), transport('b', 'eu', ['bulk'])];
    await routesOf(transports).close(500);
    expect(transports.map(({ closed }) => closed)).toEqual([[500], [500]]);
  });
});
