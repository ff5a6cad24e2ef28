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
  const { signal, live } = context;
  let fetchedBytes = 0;
  const arrived = (count: number) => {
    fetchedBytes += count;
    live({ fetchedBytes });
  };
  const [base, delta] = await Promise.all([
    baseOf(ready, context, arrived),
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
    name: `The sample and its fine-tune “${tune.title}”`,
    bases: [base.blob],
    targets: [blob],
    archive,
  });
}

/** Returns the base that this browser keeps, or fetches it once: it needs no base itself. */
async function baseOf(
  ready: Promise<Bitx>,
  context: Context,
  arrived: (bytes: number) => void,
): Promise<Base> {
  const { base } = sample;
  const kept = await keptBase(base.sha256);
  if (kept) return { blob: kept, fetchedBytes: 0 };
  const archive = await download(sampleUrl(base), context.signal, arrived);
  const bitx = await ready;
  const blob = await bitx.restore({ base: [], delta: archive, signal: context.signal });
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
