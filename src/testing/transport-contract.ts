import { within } from '../within.js';
import type { Transport } from '../transport/transport.js';
import {
  TRANSPORT_CHECKS,
  type Check,
  type ContractServer,
  type ServerMail,
  type ServerMood,
} from './transport-checks.js';

export interface TransportContractOptions {
  /** Makes a new transport to the server. It is started, and closed at the end of its check. */
  create: () => Transport | Promise<Transport>;
  server: ContractServer;
  /** What the server cannot do; the checks about it are left out. `'refuse-some'`: it takes a message for all or for none. */
  cannot?: readonly (ServerMood['does'] | 'refuse-some')[];
  /** For one check. Milliseconds. Default 10,000. */
  timeout?: number;
}

/** For any test runner: `for (const { name, run } of checks) it(name, run)`. */
export interface TransportContractCheck {
  name: string;
  /** One after the other: they share the server. @throws AssertionError */
  run: () => Promise<void>;
}

/**
 * What every transport has to keep, as checks for any test runner.
 *
 * ```ts
 * const checks = transportContract({ create: () => new MyTransport(server.url), server });
 * describe('MyTransport', () => it.each(checks)('$name', ({ run }) => run()));
 * ```
 */
export function transportContract(options: TransportContractOptions): readonly TransportContractCheck[] {
  const { cannot = [] } = options;
  return TRANSPORT_CHECKS.filter(([, needs]) => !needs.some((need) => cannot.includes(need))).map(([name, , run]) => ({
    name,
    run: () => perform(options, run),
  }));
}

async function perform({ create, server, timeout = 10_000 }: TransportContractOptions, run: Check[2]): Promise<void> {
  await server.behave({ does: 'accept' });
  let over = false;
  const before = server.mails.length;
  const transport = await create();
  const mails = (): readonly ServerMail[] => server.mails.slice(before);
  const arrived = async (count: number): Promise<void> => {
    while (!over && mails().length < count) await new Promise((resolve) => setTimeout(resolve, 5));
  };
  try {
    await transport.start?.({ roundTrip: () => undefined, connectFailed: () => undefined });
    await within(timeout, run({ transport, server, mails, arrived }), () => new Error(`Not over within ${timeout} ms`));
  } finally {
    over = true;
    await transport.close(0);
    await server.behave({ does: 'accept' });
  }
}
