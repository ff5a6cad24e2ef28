import { expect, test } from 'vitest';
import { Tally } from './model.js';
import { type Counted, firstToOpen, totalsOf, verdictOf } from './totals.js';

const BF16 = { bytes: 2, exponent: 8, mantissa: 7 };

/** Returns a tensor of which only some weights were counted. */
function counted(base: number[], target: number[], length = base.length * 2): Counted {
  const tally = new Tally(BF16);
  tally.add(Uint32Array.from(base), Uint32Array.from(target), 0);
  return { pair: { length }, tally };
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
  const totals = totalsOf([counted([8, 8], [8, 9], 4000), counted([1, 1], [1, 1], 4000)]);
  expect(totals).toMatchObject({ length: 8000, changedLength: 4000, same: 0.75, distance: 0.25 });
  expect(totals.plainBytes).toBe(2000 / 8);
});

test('models are judged by their differences', () => {
  const base = words(1, 2 ** 15);
  const judge = (target: number[]) => verdictOf(totalsOf([counted(base, target)]));
  expect(judge(base)).toBe('same');
  expect(judge(base.map((word, i) => word + (i % 3)))).toBe('family');
  expect(judge(words(99, 2 ** 16))).toBe('strangers');
  expect(verdictOf(totalsOf([]))).toBe('strangers');
});

test('of the larger tensors, the one that changed most comes first', () => {
  const tensors = [
    counted([1, 1], [2, 2], 10),
    counted([1, 1, 1], [1, 1, 2], 900),
    counted([1, 1, 1], [1, 2, 2], 1000),
    counted([1], [1], 800),
  ];
  expect(firstToOpen(tensors)).toBe(2);
  expect(firstToOpen([])).toBe(0);
});
