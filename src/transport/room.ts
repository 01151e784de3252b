import type { NoRoom } from './dispatch.js';
import type { GuardedTransport } from './guarded.js';
import type { Room as WindowRoom } from './window.js';

/**
 * Whether a transport takes one more bulk message: at once, within so many milliseconds (Infinity: when another has
 * ended), or not for so many.
 */
export type Room = { state: 'free' } | { state: 'full' | 'away'; within: number };

/** A message waits in its place for what comes sooner. Milliseconds. */
const SOON = 1_000;
/** A circuit that is being checked, and a probe that is asked every few seconds, are looked at again after so long. */
const CHECKED_WITHIN = 1_000;
const CHECK_BEGINS = 100;
const PROBED_WITHIN = 5_000;
/** The longest pause of a window, with its jitter, is shorter. */
const LONGEST = 30 * 60_000;

export function roomAt({ circuit, admitsBulk, window }: GuardedTransport): Room {
  // Once its time is up, the check is on its way.
  if (circuit.state === 'open') return { state: 'away', within: Math.max(CHECK_BEGINS, circuit.until - Date.now()) };
  if (circuit.state === 'half-open') return { state: 'away', within: CHECKED_WITHIN };
  if (!admitsBulk) return { state: 'away', within: PROBED_WITHIN };
  return atWindow(window.room());
}

function atWindow(room: WindowRoom): Room {
  if (room.state === 'free') return room;
  const soon = room.state === 'full' && (room.within <= SOON || room.within === Infinity);
  return { state: soon ? 'full' : 'away', within: room.within };
}

/** What is told when none of them has room, nor will have soon. */
export function noRoomAt(transports: readonly GuardedTransport[]): NoRoom {
  const now = Date.now();
  const within = transports.map((transport) => {
    const room = roomAt(transport);
    return room.state === 'away' ? room.within : 0;
  });
  return {
    until: now + Math.ceil(Math.min(LONGEST, ...within)),
    reason: transports.map((transport) => `${transport.name}: ${whyAway(transport)}`).join('; '),
  };
}

function whyAway({ circuit, admitsBulk, load, window }: GuardedTransport): string {
  if (circuit.state === 'open') return `down until ${timeOf(circuit.until)} after ${quoted(circuit.reason)}`;
  if (circuit.state === 'half-open') return `down, and being checked, after ${quoted(circuit.reason)}`;
  if (!admitsBulk) return load?.reason === undefined ? (load?.state ?? 'not ready') : `${load.state}, ${load.reason}`;
  const { pausedUntil, rate, reason = '' } = window.state;
  if (pausedUntil) return `paused until ${timeOf(pausedUntil.getTime())} after ${quoted(reason)}`;
  return rate === undefined ? 'all places are taken' : `held to ${rate} messages a second after ${quoted(reason)}`;
}

/** In UTC, as in logs and mail headers. */
function timeOf(epoch: number): string {
  return new Date(epoch).toISOString().slice(11, 19);
}

function quoted(text: string): string {
  return `"${text}"`;
}
