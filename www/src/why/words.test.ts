import { expect, test } from 'vitest';
import { bitsInFields, changedBits, difference, fieldsOf, numberOf, ordered, wordsOf } from './words.js';

const fields = (dtype: string) => {
  const found = fieldsOf(dtype);
  if (!found) throw new Error(dtype);
  return found;
};
const [BF16, F16, F32] = ['BF16', 'F16', 'F32'].map(fields) as [never, never, never];

test('words are little-endian', () => {
  expect([...wordsOf(Uint8Array.of(0x80, 0x3f, 1, 0, 9), BF16)]).toEqual([0x3f80, 1]);
  expect([...wordsOf(Uint8Array.of(1, 2, 3, 0xff), F32)]).toEqual([0xff030201]);
});

test('words are numbers', () => {
  expect([0x3f80, 0xc000, 0, 0x7f80].map((word) => numberOf(word, BF16))).toEqual([1, -2, 0, Infinity]);
  expect([0x3c00, 0x0001, 0x7bff].map((word) => numberOf(word, F16))).toEqual([1, 2 ** -24, 65504]);
  expect(numberOf(0x40490fdb, F32)).toBe(Math.fround(Math.PI));
  expect(numberOf(0x7e, fields('F8_E4M3'))).toBe(448);
  expect(numberOf(0x7f, fields('F8_E4M3'))).toBeNaN();
  expect(numberOf(0x7fc0, BF16)).toBeNaN();
});

test('differences count steps, through zero and across exponents', () => {
  expect(difference(0x3f7f, 0x3f80, BF16)).toBe(1);
  expect(changedBits(0x3f7f, 0x3f80)).toBe(8);
  expect(difference(0x8001, 0x0001, BF16)).toBe(2);
  expect(ordered(0x8000, BF16)).toBe(0);
  expect(difference(0xffffffff, 0x7fffffff, F32)).toBe(2 ** 32 - 2);
  expect(changedBits(0xffffffff, 0)).toBe(32);
});

test('bits have fields', () => {
  const bits = bitsInFields(0x3f80, BF16);
  expect(bits.map(({ bit }) => bit).join('')).toBe('0011111110000000');
  expect(bits.map(({ field }) => field[0]).join('')).toBe(`s${'e'.repeat(8)}${'m'.repeat(7)}`);
});

test('integers and blocks have no fields', () => {
  for (const dtype of ['I64', 'Q4_0', 'toString']) expect(fieldsOf(dtype)).toBeUndefined();
});
