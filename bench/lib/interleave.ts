/** Every repeat begins with another one, so that none always comes after the same. */
export function inTurn<T>(all: readonly T[], repeat: number): T[] {
  const start = repeat % all.length;
  return [...all.slice(start), ...all.slice(0, start)];
}
