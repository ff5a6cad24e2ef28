import type { Bitx } from 'bitx-wasm';
import { restoredTitle } from '../check.js';
import { sha256 } from '../digest.js';
import { bytes, percent } from '../format.js';
import { type Figure, restoreFigures, showResult } from '../result.js';
import { measured } from '../task/measured.js';
import type { Context } from '../task/stage.js';
import { offerPair } from '../why/offer.js';
import { download } from './download.js';
import { keepBase, keptBase } from './kept-base.js';
import { sample, sampleUrl, type Tune } from './sample.js';

/** The base of the sample, and the bytes that were fetched for it. */
interface Base {
  blob: Blob;
  fetchedBytes: number;
}

/** Fetches and restores a fine-tune of the sample, and compares it with its expected digest. */
export async function runSample(ready: Promise<Bitx>, tune: Tune, context: Context): Promise<void> {
  const { signal, live, onProgress } = context;
  const kept = await keptBase(sample.base.sha256);
  const total = tune.storedBytes + (kept ? 0 : sample.base.storedBytes);
  let loaded = 0;
  const arrived = (count: number) => {
    loaded += count;
    live({ fetchedBytes: loaded });
    onProgress({ phase: 'download', loaded, total });
  };
  arrived(0);
  const [base, delta] = await Promise.all([
    kept ? { blob: kept, fetchedBytes: 0 } : fetchBase(ready, signal, arrived),
    download(sampleUrl(tune), signal, arrived),
  ]);
  const bitx = await ready;
  const { blob, stats } = await measured((onStats) =>
    bitx.restore({ base: base.blob, delta, onStats, ...restoring(context) }),
  );
  const { archive } = stats;
  const figures: Figure[] = [
    ['Fetched', bytes(delta.size), `${percent(delta.size, blob.size)} of the model`],
    ...restoreFigures(stats),
  ];
  showResult({
    title: restoredTitle(true),
    figures,
    bars: [
      ['Whole model', blob.size, 'whole'],
      ['Fetched', delta.size, 'delta'],
    ],
    note: baseNote(base),
    link: { whole: blob.size, fetched: delta.size },
    archive,
    save: { blob, name: `${tune.id}.safetensors` },
    check: { version: archive.version, sha256: await sha256(blob), expected: tune.sha256 },
  });
  offerPair({
    name: `the sample’s fine-tune “${tune.title}”`,
    bases: [base.blob],
    targets: [blob],
    archive,
  });
}

/** Fetches the base, which needs no base itself, and keeps it in this browser. */
async function fetchBase(
  ready: Promise<Bitx>,
  signal: AbortSignal,
  arrived: (bytes: number) => void,
): Promise<Base> {
  const { base } = sample;
  const archive = await download(sampleUrl(base), signal, arrived);
  const bitx = await ready;
  const blob = await bitx.restore({ base: [], delta: archive, signal });
  await keepBase(base.sha256, blob);
  return { blob, fetchedBytes: archive.size };
}

function baseNote({ fetchedBytes }: Base): string {
  return fetchedBytes > 0
    ? `The base came first, once: ${bytes(fetchedBytes)}. Your browser keeps it, so the next fine-tune ` +
        'fetches only its change.'
    : 'The base was already in your browser: only the change was fetched.';
}

function restoring({ signal, onProgress }: Context): Pick<Context, 'signal' | 'onProgress'> {
  return { signal, onProgress };
}
