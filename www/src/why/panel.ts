import '../style/why.css';
import { byId, make } from '../dom.js';
import { engine } from '../engine.js';
import { Counter } from './client.js';
import { compareSizes } from './compare-sizes.js';
import { Explorer } from './explorer.js';
import { histograms } from './histograms.js';
import type { Pair } from './offer.js';
import { type Files, type Part, pairTensors, type TensorPair } from './pairs.js';
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
  const { bases, targets } = pair;
  const files = { bases, targets };
  const pairs = await pairsOf(files);
  if (pairs.length === 0) return explainNone(body);
  const { totals, first } = await own.call('tally', { pairs, files });
  // A later pair may have taken its place.
  if (own !== counter) return;
  const bars = make('div', { class: 'histograms' });
  const explorer = new Explorer(own, pairs, (detail) => histograms(bars, detail));
  const pick = (name: string) => explorer.choose(name);
  const pictures = [
    () => explorer.element,
    () => bars,
    () => pipeline(pair.archive, totals),
    () => treemapView(pair.archive, pick),
    () => compareSizes(own, pair),
  ];
  body.replaceChildren();
  for (const picture of pictures) {
    body.append(picture());
    // The page answers between two pictures.
    await new Promise((resolve) => setTimeout(resolve));
    if (own !== counter) return;
  }
  explorer.start(first);
}

/** Lists the tensors of a pair's files, and pairs them. */
export async function pairsOf({ bases, targets }: Files): Promise<TensorPair[]> {
  const bitx = await engine();
  const listed = (parts: Part[]) =>
    Promise.all(parts.map((part) => bitx.tensors(part instanceof Blob ? part : part.url)));
  return pairTensors(await listed(bases), await listed(targets));
}

function explainNone(body: HTMLElement): void {
  const text =
    'These pictures need floats (BF16, F16, F32 or F8) of the same names and shapes in both models, ' +
    'and found none.';
  body.replaceChildren(make('p', {}, text));
}
