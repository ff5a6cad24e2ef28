/**
 * Returns the number of bytes that may still be stored; undefined if the browser does not report
 * it.
 */
export async function availableStorage(): Promise<number | undefined> {
  const { quota, usage } = (await navigator.storage?.estimate()) ?? {};
  return quota === undefined || usage === undefined ? undefined : Math.max(0, quota - usage);
}

/** Returns the sum of sizes in bytes; undefined if one of them is unknown. */
export function sumOf(sizes: (number | undefined)[]): number | undefined {
  return sizes.reduce((a, b) => (a === undefined || b === undefined ? undefined : a + b), 0);
}
