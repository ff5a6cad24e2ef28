import type { Summary } from './messages.js';

/** What the counted differences of a model add up to. */
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

/** Adds up the summaries of tensors. Counted weights stand for all weights of their tensor. */
export function totalsOf(summaries: Summary[]): Totals {
  const sum = (of: (summary: Summary) => number) => summaries.reduce((all, one) => all + of(one), 0);
  const weights = sum(weightsOf);
  return {
    length: sum(({ length }) => length),
    changedLength: sum(({ length, same, counted }) => (same === counted ? 0 : length)),
    plainBytes: sum((one) => (one.plainBits * weightsOf(one)) / 8),
    contextBytes: sum((one) => (one.contextBits * weightsOf(one)) / 8),
    same: sum((one) => (one.same / Math.max(1, one.counted)) * weightsOf(one)) / Math.max(1, weights),
    distance: sum((one) => meanChanged(one) * weightsOf(one)) / Math.max(1, weights),
  };
}

/** Returns the number of a tensor's weights. */
function weightsOf({ length, changed }: Summary): number {
  return (length * 8) / (changed.length - 1);
}

function meanChanged({ changed, counted }: Summary): number {
  return changed.reduce((sum, count, bits) => sum + count * bits, 0) / Math.max(1, counted);
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
