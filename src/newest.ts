/** Puts an entry into a Map that has no more than so many: those that were put last. */
export function putNewest<K, V>(entries: Map<K, V>, key: K, value: V, most: number): void {
  entries.delete(key);
  entries.set(key, value);
  // The oldest come first in a Map.
  for (const [oldest] of entries) {
    if (entries.size <= most) return;
    entries.delete(oldest);
  }
}
