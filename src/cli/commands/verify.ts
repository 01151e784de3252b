import type { TransportCheck } from '../../nest/mail.service.js';
import type { Context } from '../context.js';
import { EXIT, type ExitCode } from '../exit-code.js';
import { withMailer } from '../mailer.js';
import { table } from '../text.js';
import { ranks } from '../transports.js';

/** Connects and logs in to every transport. Fails when one of them does. */
export function verify(context: Context): Promise<ExitCode> {
  return withMailer(context, 'transports', async ({ mail }) => {
    const transports = await mail.verify();
    const ok = transports.every((transport) => transport.ok);
    return { document: { ok, transports }, text: () => textOf(transports), exitCode: ok ? EXIT.ok : EXIT.failed };
  });
}

function textOf(transports: readonly TransportCheck[]): string {
  const rows = transports.map((transport) => [
    transport.name,
    transport.ok ? 'ok' : 'failed',
    `${transport.duration} ms`,
    ranks(transport),
    transport.reason,
    transport.error ?? '',
  ]);
  return table([['transport', 'result', 'took', 'rank', 'reason', 'error'], ...rows]);
}
