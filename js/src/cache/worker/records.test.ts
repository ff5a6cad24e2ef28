import { expect, test } from 'vitest';
import {
  chunkLength,
  decodeManifest,
  decodeMeta,
  demoted,
  encode,
  infoOf,
  type Manifest,
  type PartMeta,
  storedBytes,
} from './records.js';

const validator = { etag: '"a"', modified: undefined };
const manifest: Manifest = {
  version: 1,
  url: 'https://a/model',
  size: 10,
  chunkSize: 4,
  chunks: ['0', '1', '2'],
  validator,
  labels: { of: 'a' },
  storedAt: 1,
  sha256: 's',
  blake3: 'b',
};

test('a manifest is read as it was written', () => {
  expect(decodeManifest(encode(manifest))).toEqual(manifest);
});

test.each([
  ['cut off', encode(manifest).slice(0, -1)],
  ['empty', ''],
  ['of another version', encode({ ...manifest, version: 2 } as never)],
  ['without chunks', JSON.stringify({ ...manifest, chunks: undefined })],
  ['with a chunk too few', encode({ ...manifest, chunks: ['0', '1'] })],
  ['with half a size', encode({ ...manifest, size: 9.5 })],
  ['with a negative size', encode({ ...manifest, size: -1, chunks: [] })],
])('a manifest %s is invalid', (_, text) => {
  expect(decodeManifest(text)).toBeUndefined();
});

test('the head of a part needs an address and a chunk size', () => {
  const meta: PartMeta = { url: 'a', chunkSize: 4, ranged: true, validator, labels: {} };
  expect(decodeMeta(encode(meta))).toMatchObject({ url: 'a', chunkSize: 4, ranged: true });
  expect(decodeMeta('{"url":"a"}')).toBeUndefined();
  expect(decodeMeta('null')).toBeUndefined();
});

test('only the last chunk is shorter', () => {
  expect([0, 1, 2].map((index) => chunkLength(index, manifest))).toEqual([4, 4, 2]);
});

test('the bytes of a part are those of its chunks', () => {
  const { meta } = demoted(manifest);
  expect(storedBytes({ meta, chunks: new Map([[2, 'c']]) })).toBe(2);
  expect(
    storedBytes({
      meta,
      chunks: new Map([
        [0, 'a'],
        [2, 'c'],
      ]),
    }),
  ).toBe(6);
  // Without a size, every chunk counts as full.
  expect(storedBytes({ meta: { ...meta, size: undefined }, chunks: new Map([[2, 'c']]) })).toBe(4);
});

test('a damaged model keeps its digests as an incomplete one', () => {
  const part = demoted(manifest);
  expect(part.meta).toMatchObject({ ranged: true, size: 10, expected: ['0', '1', '2'], validator });
  expect([...part.chunks]).toEqual([
    [0, '0'],
    [1, '1'],
    [2, '2'],
  ]);
});

test('the description of a model leaves the chunks out', () => {
  expect(Object.keys(infoOf(manifest)).sort()).toEqual([
    'blake3',
    'labels',
    'sha256',
    'size',
    'storedAt',
    'url',
  ]);
});
