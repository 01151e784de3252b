/** The fields that have a value: null and undefined are as good as absent. */
export function withoutNothing(fields: object): object {
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined && value !== null));
}
