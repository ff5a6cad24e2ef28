import type { Bitx } from 'bitx-wasm';
import { loadFineTune, ModelCache, planFineTune } from 'bitx-wasm/cache';
import { restoredTitle } from '../check.js';
import { sha256 } from '../digest.js';
import { bytes, duration, speed, threads } from '../format.js';
import { showResult } from '../result.js';
import type { Context } from '../task/stage.js';
import { offerPair } from '../why/offer.js';
import { fileName } from './query.js';

/** The names of the steps, as the page shows them. */
const PHASES = { delta: 'download', base: 'download', restore: 'restore' } as const;

let cache: Promise<ModelCache> | undefined;

/**
 * Restores a fine-tune from the addresses of its base and delta. The base goes into this browser's
 * cache, so that an interrupted download continues and the next fine-tune fetches only its delta.
 */
export async function restoreLink(
  ready: Promise<Bitx>,
  bases: URL[],
  delta: URL,
  { signal, onProgress, live }: Context,
): Promise<void> {
  const bitx = await ready;
  cache ??= ModelCache.open();
  const files = { base: bases, delta, cache: await cache, bitx, signal };
  const archive = await bitx.inspect(delta.href, { signal, onProgress });
  const plan = await planFineTune(files);
  const begun = performance.now();
  const model = await loadFineTune({
    ...files,
    store: false,
    onProgress: ({ phase, ...progress }) => {
      onProgress({ phase: PHASES[phase], ...progress });
      if (phase !== 'restore') live({ fetchedBytes: progress.loaded });
    },
  });
  const seconds = (performance.now() - begun) / 1000;
  const baseBytes = plan.base.every(({ cached }) => cached)
    ? 0
    : (plan.fetchBytes ?? 0) - archive.storedBytes;
  showResult({
    title: restoredTitle(archive.version > 1),
    figures: [
      ['Fetched', bytes(archive.storedBytes), 'the change'],
      ['Restored', bytes(model.size), 'the whole model'],
      ['In all', duration(seconds), speed(model.size, seconds)],
      ['Computed on', threads(bitx.threads)],
    ],
    bars: [
      ['Whole model', model.size, 'whole'],
      ['Fetched', archive.storedBytes, 'delta'],
    ],
    note:
      baseBytes > 0
        ? `The base came first, once: ${bytes(baseBytes)}. Your browser keeps it for the next fine-tune.`
        : 'The base was already in your browser: only the change was fetched.',
    link: { whole: model.size, fetched: archive.storedBytes },
    archive,
    save: { blob: model, name: fileName(delta).replace(/(\.v\d+)?\.bitx$/i, '.safetensors') },
    check: { version: archive.version, sha256: await sha256(model) },
  });
  const kept = await Promise.all(bases.map(async (base) => (await cache)?.match(base)));
  const all = kept.filter((file) => file !== undefined);
  if (all.length === bases.length)
    offerPair({ name: fileName(delta), bases: all, targets: [model], archive });
}
