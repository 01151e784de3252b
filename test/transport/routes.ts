import { MailEmitter } from '../../src/events/emitter.js';
import { GuardedTransport } from '../../src/transport/guarded.js';
import { Routes } from '../../src/transport/route.js';
import type { Transport } from '../../src/transport/transport.js';

/** A transport with its guard, as the module makes them; errors of listeners are thrown. */
export function guarded(transport: Transport, events = quietEvents()): GuardedTransport {
  return new GuardedTransport(transport, events);
}

export function quietEvents(): MailEmitter {
  return new MailEmitter('test', (_event, error) => {
    throw error;
  });
}

export function routesOf(transports: readonly Transport[], region?: string): Routes {
  const events = quietEvents();
  return new Routes(
    transports.map((transport) => guarded(transport, events)),
    region,
  );
}
