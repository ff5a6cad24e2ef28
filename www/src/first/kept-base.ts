/** The name of the browser's cache that keeps the sample's base. */
const CACHE = 'bitx-bases';

/** Returns the sample's base, if an earlier run has kept it in this browser. */
export async function keptBase(sha256: string): Promise<Blob | undefined> {
  const cache = await globalThis.caches?.open(CACHE).catch(() => undefined);
  const hit = await cache?.match(address(sha256)).catch(() => undefined);
  return hit?.blob();
}

/** Keeps the sample's base for later runs, if this browser lets pages keep anything. */
export async function keepBase(sha256: string, base: Blob): Promise<void> {
  const cache = await globalThis.caches?.open(CACHE).catch(() => undefined);
  await cache?.put(address(sha256), new Response(base)).catch(() => {});
}

/** Returns the address of a base by its digest, so that another version of the page has another. */
function address(sha256: string): string {
  return new URL(`./sample/base-${sha256}`, document.baseURI).href;
}
