const folder = new URL('./sample/', document.baseURI);

/** A real fine-tune and its base, small enough to ship with the page. */
export const sample = {
  base: new URL('base-bf16.safetensors', folder).href,
  delta: new URL('sft-bf16.predicted.v2.bitx', folder).href,
  name: 'sft-bf16.safetensors',
  sha256: 'f8af02d076e6ba592984356089a885b89508231b7cf23ab19f7b12e3fee56910',
};

/** Returns the base, from this page's cache if an earlier visit has stored it there. */
export async function cachedBase(signal: AbortSignal): Promise<{ response: Response; fetched: boolean }> {
  const cache = await globalThis.caches?.open('bitx-bases').catch(() => undefined);
  const hit = await cache?.match(sample.base);
  if (hit) return { response: hit, fetched: false };
  const response = await fetch(sample.base, { signal });
  // The cache keeps a response only if it arrives completely.
  if (response.ok) void cache?.put(sample.base, response.clone()).catch(() => {});
  return { response, fetched: true };
}
