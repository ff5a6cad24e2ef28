/** Returns how many bytes may still be stored; undefined where the browser does not tell. */
export async function availableStorage(): Promise<number | undefined> {
  const { quota, usage } = (await navigator.storage?.estimate()) ?? {};
  return quota === undefined || usage === undefined ? undefined : Math.max(0, quota - usage);
}

/** Adds up sizes in bytes; undefined as soon as one of them is unknown. */
export function sumOf(sizes: (number | undefined)[]): number | undefined {
  return sizes.reduce((a, b) => (a === undefined || b === undefined ? undefined : a + b), 0);
}
