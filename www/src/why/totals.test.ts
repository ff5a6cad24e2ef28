import { expect, test } from 'vitest';
import type { Summary } from './messages.js';
import { Tally } from './model.js';
import { totalsOf, verdictOf } from './totals.js';

const BF16 = { bytes: 2, exponent: 8, mantissa: 7 };

/** Returns the summary of a tensor of which only some weights were counted. */
function summary(base: number[], target: number[], length = base.length * 2): Summary {
  const tally = new Tally(BF16);
  tally.add(Uint32Array.from(base), Uint32Array.from(target), 0);
  const { count: counted, same, changed, symbols, plainBits, contextBits } = tally;
  return {
    name: 'a',
    dtype: 'BF16',
    length,
    counted,
    same,
    changed,
    symbols,
    plainBits,
    contextBits,
    large: [],
  };
}

/** Returns pseudo-random words below `limit`. */
function words(seed: number, limit: number): number[] {
  let state = seed;
  return Array.from({ length: 4000 }, () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return Math.floor((state / 2 ** 32) * limit);
  });
}

test('counted weights stand for all', () => {
  const totals = totalsOf([summary([8, 8], [8, 9], 4000), summary([1, 1], [1, 1], 4000)]);
  expect(totals).toMatchObject({ length: 8000, changedLength: 4000, same: 0.75, distance: 0.25 });
  expect(totals.plainBytes).toBe(2000 / 8);
});

test('models are judged by their differences', () => {
  const base = words(1, 2 ** 15);
  const judge = (target: number[]) => verdictOf(totalsOf([summary(base, target)]));
  expect(judge(base)).toBe('same');
  expect(judge(base.map((word, i) => word + (i % 3)))).toBe('family');
  expect(judge(words(99, 2 ** 16))).toBe('strangers');
  expect(verdictOf(totalsOf([]))).toBe('strangers');
});
