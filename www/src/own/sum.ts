/** Adds up a figure of some items. */
export function sumOf<T>(list: T[], of: (item: T) => number): number {
  return list.reduce((sum, item) => sum + of(item), 0);
}
