import { expect, test } from 'vitest';
import { pairTensors, weightsOfPair } from './pairs.js';
import { PairReader } from './reader.js';

const place = (name: string, offset: number, dtype = 'BF16', length = 4) => ({
  ...{ name, dtype, shape: [length / 2] },
  ...{ offset, length },
});

test('tensors of the same name, dtype and length are pairs, whatever their file', () => {
  const bases = [[place('a', 8)], [place('b', 16), place('c', 20), place('d', 24, 'I64', 8), place('e', 32)]];
  const targets = [
    [place('b', 0), place('c', 4, 'F16'), place('d', 8, 'I64', 8)],
    [place('a', 40), place('e', 0, 'BF16', 6)],
  ];
  const common = { dtype: 'BF16', length: 4 };
  expect(pairTensors(bases, targets)).toEqual([
    { ...common, name: 'b', baseFile: 1, baseOffset: 16, targetFile: 0, targetOffset: 0 },
    { ...common, name: 'a', baseFile: 0, baseOffset: 8, targetFile: 1, targetOffset: 40 },
  ]);
});

test('the words of a pair come from its files, in whatever order they are read', async () => {
  const bytes = Uint8Array.from({ length: 100 }, (_, i) => i);
  const files = { bases: [new Blob([bytes])], targets: [new Blob([bytes.toReversed()])] };
  const reader = new PairReader(files, 16);
  for (const [baseOffset, targetOffset] of [
    [2, 1],
    [40, 50],
    [0, 98],
    [4, 3],
  ] as const) {
    const [pair] = pairTensors([[place('a', baseOffset)]], [[place('a', targetOffset)]]);
    if (!pair) throw new Error('no pair');
    expect(weightsOfPair(pair)).toBe(2);
    const word = (at: number) => at + 256 * (at + 1);
    const back = (at: number) => 99 - at + 256 * (98 - at);
    const [base, target] = await reader.words(pair, 1, 7);
    expect([...base]).toEqual([word(baseOffset + 2)]);
    expect([...target]).toEqual(targetOffset + 4 <= 100 ? [back(targetOffset + 2)] : []);
  }
});
