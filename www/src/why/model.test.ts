import { expect, test } from 'vitest';
import { symbolName, Tally, tokenOf } from './model.js';
import { fieldsOf } from './words.js';

const BF16 = fieldsOf('BF16') ?? { bytes: 2, exponent: 8, mantissa: 7 };

function tally(base: number[], target: number[], from = 0): Tally {
  const tally = new Tally(BF16);
  tally.add(Uint32Array.from(base), Uint32Array.from(target), from);
  return tally;
}

test('small differences are exact, large ones a power and its rest', () => {
  expect([0, -3, 4, 7, -8, 65_000].map(tokenOf)).toEqual([
    { symbol: 0, extra: 0 },
    { symbol: -3, extra: 0 },
    { symbol: 6, extra: 2 },
    { symbol: 6, extra: 2 },
    { symbol: -7, extra: 3 },
    { symbol: 19, extra: 15 },
  ]);
  expect([0, -3, 6, -7, 14].map(symbolName)).toEqual(['0', '−3', '4…', '−8…', '1k…']);
});

test('equal weights cost nothing', () => {
  const equal = tally([1, 2, 0x3f80], [1, 2, 0x3f80]);
  expect([equal.same, equal.plainBits, equal.contextBits]).toEqual([3, 0, 0]);
  expect(equal.changed[0]).toBe(3);
  expect(equal.large).toEqual([]);
});

test('a context that tells the difference makes it free', () => {
  // Weights of one exponent keep their bits, those of the other move by a step.
  const told = tally([0x3f80, 0x3f81, 0x4080, 0x4081], [0x3f80, 0x3f81, 0x4081, 0x4082]);
  expect(told.plainBits).toBe(1);
  expect(told.contextBits).toBe(0);
  expect(told.cost(0x3f80, 0x3f80)).toBeCloseTo(Math.log2(3 / 2));
  expect(told.cost(0x3f80, 0x3f90)).toBeGreaterThan(5);
});

test('the farthest weights come first, with their places', () => {
  const moved = tally([100, 100, 100, 100], [101, 100, 90, 105], 1000);
  expect(moved.large).toEqual([
    { index: 1002, steps: -10 },
    { index: 1003, steps: 5 },
    { index: 1000, steps: 1 },
  ]);
  const many = tally(
    Array.from({ length: 500 }, () => 1000),
    Array.from({ length: 500 }, (_, i) => 1000 + i),
  );
  expect(many.large.length).toBe(64);
  expect(many.large[0]).toEqual({ index: 499, steps: 499 });
});

test('nothing counted is nothing', () => {
  const none = tally([], []);
  expect([none.plainBits, none.contextBits, none.symbols]).toEqual([0, 0, []]);
});
