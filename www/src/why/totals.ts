import type { Tally } from './model.js';
import type { TensorPair } from './pairs.js';

/** A pair with what was counted of its weights. */
export interface Counted {
  pair: Pick<TensorPair, 'length'>;
  tally: Pick<Tally, 'count' | 'same' | 'changed' | 'plainBits' | 'contextBits'>;
}

/** The sums of a model's counted differences. */
export interface Totals {
  /** Bytes of all pairs. */
  length: number;
  /** Bytes of the pairs that changed. */
  changedLength: number;
  /** Bytes for an ideal coder of the differences, without contexts and with them. */
  plainBytes: number;
  contextBytes: number;
  /** The part of the weights whose bits all stayed. */
  same: number;
  /** Changed bits per weight, on average. */
  distance: number;
}

/** Adds up what was counted. Counted weights stand for all weights of their tensor. */
export function totalsOf(counted: Counted[]): Totals {
  const sum = (of: (one: Counted) => number) => counted.reduce((all, one) => all + of(one), 0);
  const weights = Math.max(1, sum(weightsOf));
  return {
    length: sum(({ pair }) => pair.length),
    changedLength: sum(({ pair, tally }) => (tally.same === tally.count ? 0 : pair.length)),
    plainBytes: sum((one) => (one.tally.plainBits * weightsOf(one)) / 8),
    contextBytes: sum((one) => (one.tally.contextBits * weightsOf(one)) / 8),
    same: sum((one) => (one.tally.same / Math.max(1, one.tally.count)) * weightsOf(one)) / weights,
    distance: sum((one) => meanChanged(one) * weightsOf(one)) / weights,
  };
}

/** Returns the number of a tensor's weights. */
function weightsOf({ pair, tally }: Counted): number {
  return (pair.length * 8) / (tally.changed.length - 1);
}

function meanChanged({ tally: { changed, count } }: Counted): number {
  return changed.reduce((sum, times, bits) => sum + times * bits, 0) / Math.max(1, count);
}

/** Returns the number of the tensor to show first: of the larger ones, that which changed most. */
export function firstToOpen(counted: Counted[]): number {
  const longest = counted.reduce((most, { pair }) => Math.max(most, pair.length), 0);
  const moved = ({ pair, tally: { count, same } }: Counted) =>
    pair.length < longest / 2 ? -1 : (count - same) / Math.max(1, count);
  let best = 0;
  let most = -1;
  for (const [i, one] of counted.entries()) {
    const part = moved(one);
    if (part > most) [best, most] = [i, part];
  }
  return best;
}

/** The relation of two models. */
export type Verdict = 'same' | 'family' | 'distant' | 'strangers';

/**
 * Judges two models by the bytes that differences with contexts take: of a full fine-tune they take
 * up to a third, of unrelated models nearly all.
 */
export function verdictOf({ length, changedLength, contextBytes }: Totals): Verdict {
  if (length === 0) return 'strangers';
  if (changedLength === 0) return 'same';
  const ratio = contextBytes / length;
  return ratio < 0.45 ? 'family' : ratio < 0.62 ? 'distant' : 'strangers';
}
