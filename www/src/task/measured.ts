import type { Stats } from 'bitx-wasm';

/** Runs a call that resolves to a Blob, and returns its statistics as well. */
export async function measured(
  call: (onStats: (stats: Stats) => void) => Promise<Blob>,
): Promise<{ blob: Blob; stats: Stats }> {
  const { promise, resolve } = Promise.withResolvers<Stats>();
  const blob = await call(resolve);
  return { blob, stats: await promise };
}
