import { expect, test, vi } from 'vitest';
import { nameOf } from './inputs.js';

test('files have the last part of their path as a name', () => {
  vi.stubGlobal('location', { href: 'https://page.example/app/' });
  expect(nameOf(new File([], 'model.onnx_data'))).toBe('model.onnx_data');
  expect(nameOf(new URL('https://models.example/a/model.onnx_data?x=1#y'))).toBe('model.onnx_data');
  expect(nameOf('https://models.example/a%20b/c%20d.bin')).toBe('c d.bin');
  expect(nameOf('models/100%.bin')).toBe('100%.bin');
});

test('inputs without a name have an empty one', () => {
  const source = { size: 1, read: async () => new Uint8Array(1) };
  for (const input of [new Blob([]), new Uint8Array(1), new ArrayBuffer(1), source])
    expect(nameOf(input)).toBe('');
});

test('a name is one line, since requests to the core have a line for each field', () => {
  vi.stubGlobal('location', { href: 'https://page.example/app/' });
  expect(nameOf(new File([], 'a\nlength 1'))).toBe('alength 1');
  expect(nameOf('/a%0Alength%201')).toBe('alength 1');
});
