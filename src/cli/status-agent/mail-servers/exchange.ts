import { win32 } from 'node:path';
import { numberFrom } from '../command.js';
import { countFiles } from '../count-files.js';
import type { MailServer, MailServerPaths } from '../mail-server.js';

/** Loading the snap-in takes PowerShell seconds. */
const SELDOM = 60_000;

/** Shadow queues are copies of what another server delivers. */
const SCRIPT = [
  `$ErrorActionPreference = 'Stop'`,
  'Add-PSSnapin Microsoft.Exchange.Management.PowerShell.SnapIn',
  `$queues = Get-Queue | Where-Object { $_.DeliveryType -ne 'ShadowRedundancy' }`,
  '[long]($queues | Measure-Object -Property MessageCount -Sum).Sum',
].join('; ');

/** @param powershell by its full path: Windows looks for a bare name in the current folder first */
export function exchange({ spool = queueDatabase(), queueDir }: MailServerPaths, powershell = program()): MailServer {
  const disk = queueDir ?? spool;
  return {
    name: 'exchange',
    ...(disk === undefined ? {} : { spool: disk }),
    every: SELDOM,
    queue: () =>
      queueDir === undefined
        ? numberFrom(powershell, ['-NoProfile', '-NonInteractive', '-Command', SCRIPT])
        : countFiles(queueDir),
  };
}

function queueDatabase(): string | undefined {
  const installed = process.env['ExchangeInstallPath'];
  return installed === undefined ? undefined : win32.join(installed, 'TransportRoles', 'data', 'Queue');
}

function program(): string {
  const windows = process.env['SystemRoot'] ?? 'C:\\Windows';
  return win32.join(windows, 'System32', 'WindowsPowerShell', 'v1.0', 'powershell.exe');
}
