import type { Socket } from 'node:net';

/**
 * Octets of a body that are given to a connection at a time. More of them would lie in memory, where they are encrypted for
 * each connection.
 */
const STEP = 128 * 1024;

/** The parts in steps, each of them in pieces that share its memory. */
export function stepsOf(parts: readonly Buffer[]): Buffer[][] {
  if (parts.reduce((sum, { length }) => sum + length, 0) <= STEP) return [[...parts]];
  const steps: Buffer[][] = [];
  let room = 0;
  for (const part of parts) {
    for (let at = 0; at < part.length;) {
      if (room === 0) {
        steps.push([]);
        room = STEP;
      }
      const piece = part.subarray(at, at + room);
      steps.at(-1)!.push(piece);
      at += piece.length;
      room -= piece.length;
    }
  }
  return steps;
}

/** Resolves when the socket has passed it on, and others had their turn. */
export function passedOn(socket: Socket, step: readonly Buffer[]): Promise<void> {
  return new Promise((resolve, reject) => {
    socket.cork();
    for (const piece of step.slice(0, -1)) socket.write(piece);
    socket.write(step.at(-1)!, (error) => (error ? reject(error) : setImmediate(resolve)));
    socket.uncork();
  });
}
