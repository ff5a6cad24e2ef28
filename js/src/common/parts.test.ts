import { expect, test } from 'vitest';
import { Parts } from './parts.js';

test('parts are one blob, at any time', async () => {
  const parts = new Parts();
  parts.add(Uint8Array.of(1, 2));
  expect(parts.size).toBe(2);
  expect(new Uint8Array(await parts.blob().arrayBuffer())).toEqual(Uint8Array.of(1, 2));
  parts.add(Uint8Array.of(3));
  expect(new Uint8Array(await parts.blob().arrayBuffer())).toEqual(Uint8Array.of(1, 2, 3));
});

test('large parts keep their order too', async () => {
  const parts = new Parts();
  for (let index = 0; index < 5; index++) parts.add(new Uint8Array(3 << 20).fill(index));
  expect(parts.size).toBe(15 << 20);
  const bytes = new Uint8Array(await parts.blob().arrayBuffer());
  expect(Array.from({ length: 5 }, (_, index) => bytes[index * (3 << 20)])).toEqual([0, 1, 2, 3, 4]);
});
