import { bytes, percent } from '../format.js';
import { remoteFile } from '../own/remote.js';
import type { Model, Source } from '../own/source.js';
import { showResult } from '../result.js';
import { abortable, type Context } from '../task/stage.js';
import { Counter } from './client.js';
import type { Files, Part, TensorPair } from './pairs.js';
import { pairsOf } from './panel.js';
import { type Totals, type Verdict, verdictOf } from './totals.js';

const VERDICTS: Record<Verdict, [title: string, text: string]> = {
  same: ['The same weights', 'Every weight that both have is equal. A delta would be tiny.'],
  family: ['They are family', 'One is a fine-tune of the other, or both of a third. A delta pays.'],
  distant: ['Distant relatives', 'A delta saves something, but another base may save more.'],
  strangers: [
    'They are strangers',
    'This base does not help: store the model without it, or find its own base.',
  ],
};

/** Compares two models without making a delta: their distance, a predicted saving and a verdict. */
export async function compareModels(base: Model, target: Model, { signal }: Context): Promise<void> {
  const parts = ({ files }: Model) => Promise.all(files.map((source) => partOf(source, signal)));
  const [bases, targets] = await Promise.all([parts(base), parts(target)]);
  const pairs = await pairsOf({ bases, targets });
  signal.throwIfAborted();
  const totals = await totalsOf(pairs, { bases, targets }, signal);
  const whole = targets.reduce((sum, { size }) => sum + size, 0);
  const predicted = Math.min(whole, totals.contextBytes + whole - totals.length);
  const [title, text] = VERDICTS[verdictOf(totals)];
  showResult({
    title,
    note: pairs.length === 0 ? 'They have no tensor of floats in common.' : text,
    bars: [
      ['Model', whole, 'whole'],
      ['Delta, at most', predicted, 'delta'],
    ],
    figures: [
      ['Bit distance', totals.distance.toFixed(2), 'changed bits per weight'],
      ['Unchanged', percent(totals.same, 1), 'of the weights'],
      ['Predicted', bytes(predicted), `${percent(predicted, whole)} of the model`],
      ['In common', percent(totals.length, whole), `${pairs.length.toLocaleString('en')} tensors`],
    ],
  });
}

/** Returns a file in the form that the worker reads: of one at an address, only parts are fetched. */
async function partOf({ file }: Source, signal: AbortSignal): Promise<Part> {
  return file instanceof File ? file : remoteFile(file.href, signal);
}

/** Counts the differences of pairs in a worker, which ends with the call. */
async function totalsOf(pairs: TensorPair[], files: Files, signal: AbortSignal): Promise<Totals> {
  const counter = new Counter();
  try {
    const { totals } = await abortable(counter.call('tally', { pairs, files }), signal);
    return totals;
  } finally {
    counter.close();
  }
}
