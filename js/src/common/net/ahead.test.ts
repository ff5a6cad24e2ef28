import { expect, test } from 'vitest';
import { readingAhead } from './ahead.js';

const MIB = 1 << 20;

/** Returns a reader of a file that has other bytes everywhere, and the ranges that it requests. */
function reader(size: number) {
  const file = Uint8Array.from({ length: size }, (_, i) => (i * 7 + (i >> 8)) & 255);
  const requests: [offset: number, length: number][] = [];
  const read = async (offset: number, length: number) => {
    requests.push([offset, length]);
    return file.slice(offset, offset + length);
  };
  const head = { start: 0, bytes: file.slice(0, 65_536) };
  const same = async (offset: number, length: number) =>
    expect(Buffer.compare(await ahead(offset, length), file.subarray(offset, offset + length))).toBe(0);
  const ahead = readingAhead(size, head, read);
  return { same, requests, sent: () => requests.reduce((sum, [, length]) => sum + length, 0) };
}

test('small ranges that follow one another are read together', async () => {
  const { same, requests } = reader(4 * MIB);
  for (let at = 0; at < 4 * MIB - 512; at += 20_000) await same(at, 512);
  expect(requests.length).toBeLessThan(10);
});

test('larger ranges take what was read ahead, once', async () => {
  const size = 24 * MIB;
  const { same, requests, sent } = reader(size);
  for (let at = 2 * MIB; at < 8 * MIB; at += 20_000) await same(at, 512);
  const surveyed = sent();
  expect(surveyed).toBeGreaterThan(5 * MIB);
  for (let at = 0; at < size; at += 8 * MIB) await same(at, 8 * MIB);
  expect(sent()).toBeLessThan(1.1 * size);
  expect(requests.length).toBeLessThan(24);
  // The bytes are given away, and memory is bounded.
  const before = sent();
  await same(0, 8 * MIB);
  expect(sent() - before).toBe(8 * MIB);
});

test('ranges that begin or end inside of what was read ahead', async () => {
  const { same } = reader(8 * MIB);
  for (let at = MIB; at < 5 * MIB; at += 20_000) await same(at, 512);
  for (const [offset, length] of [
    [MIB + 77, 300_000],
    [MIB - 5, 3 * MIB + 11],
    [2 * MIB + 1, MIB],
    [7 * MIB, MIB],
  ] as const) {
    await same(offset, length);
  }
});

test('what is kept has a limit', async () => {
  const { same, sent } = reader(40 * MIB);
  for (let at = 0; at < 40 * MIB - 512; at += 20_000) await same(at, 512);
  const surveyed = sent();
  for (let at = 0; at < 40 * MIB; at += 8 * MIB) await same(at, 8 * MIB);
  expect(sent() - surveyed).toBeGreaterThanOrEqual(24 * MIB);
});

test('what is kept of all files has a limit', async () => {
  const files = Array.from({ length: 4 }, () => reader(24 * MIB));
  for (const { same } of files) for (let at = 0; at < 20 * MIB; at += 20_000) await same(at, 512);
  const again = async ({ same, sent }: (typeof files)[0]) => {
    const surveyed = sent();
    for (let at = 0; at < 24 * MIB; at += 8 * MIB) await same(at, 8 * MIB);
    return sent() - surveyed;
  };
  // The files that were read last have their bytes still, and the first ones make room for them.
  expect(await again(files[0] as (typeof files)[0])).toBe(24 * MIB);
  expect(await again(files[3] as (typeof files)[0])).toBeLessThan(14 * MIB);
});
