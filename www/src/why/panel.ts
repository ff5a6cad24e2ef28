import '../style/why.css';
import { byId, make } from '../dom.js';
import { engine } from '../engine.js';
import { Counter } from './client.js';
import { compareSizes } from './compare-sizes.js';
import { Explorer } from './explorer.js';
import { histograms } from './histograms.js';
import type { Pair } from './offer.js';
import { pairTensors, type TensorPair } from './pairs.js';
import { pipeline } from './pipeline.js';
import { treemapView } from './treemap.js';

let counter: Counter | undefined;

/** Shows the pictures of a pair: its bits, its differences, its tensors and its bytes. */
export async function showWhy(pair: Pair): Promise<void> {
  const body = byId('why-body');
  byId('why-open').hidden = true;
  body.hidden = false;
  body.replaceChildren(make('p', { class: 'aside', role: 'status' }, 'Counting differences…'));
  counter?.close();
  counter = new Counter();
  const own = counter;
  const pairs = await pairsOf(pair);
  if (pairs.length === 0) return explainNone(body);
  const summaries = await own.call('tally', { pairs });
  // A later pair may have taken its place.
  if (own !== counter) return;
  const bars = make('div', { class: 'histograms' });
  const explorer = new Explorer(own, pairs, summaries, (summary) => histograms(bars, summary));
  const pick = (name: string) => explorer.choose(name);
  body.replaceChildren(
    explorer.element,
    bars,
    pipeline(pair.archive, summaries),
    treemapView(pair.archive, body.clientWidth, pick),
    compareSizes(own, pair),
  );
  explorer.start();
}

/** Lists the tensors of a pair's files, and pairs them. */
export async function pairsOf({ bases, targets }: Pick<Pair, 'bases' | 'targets'>): Promise<TensorPair[]> {
  const bitx = await engine();
  const listed = async (blob: Blob) => ({ blob, tensors: await bitx.tensors(blob) });
  const [base, target] = await Promise.all([bases, targets].map((blobs) => Promise.all(blobs.map(listed))));
  return pairTensors(base ?? [], target ?? []);
}

function explainNone(body: HTMLElement): void {
  const text =
    'These pictures need floats (BF16, F16, F32 or F8) of the same names and shapes in both models, ' +
    'and found none.';
  body.replaceChildren(make('p', {}, text));
}
