import { expect, test } from 'vitest';
import type { PartMeta } from '../records.js';
import type { AccessHandle } from './access.js';
import { Journal, readJournal } from './journal.js';

const A = 'a'.repeat(64);
const B = 'b'.repeat(64);
const meta: PartMeta = {
  url: 'https://a/model',
  chunkSize: 4,
  size: 10,
  ranged: true,
  validator: { etag: '"a"', modified: undefined },
  labels: {},
};
const head = `${JSON.stringify(meta)}\n`;

/** Returns a file in memory with room for at most `room` bytes. */
function fakeFile(text = '', room = Number.POSITIVE_INFINITY) {
  let bytes = new TextEncoder().encode(text);
  const file: AccessHandle = {
    read: (into, { at }) => {
      into.set(bytes.subarray(at, at + into.length));
      return Math.min(into.length, bytes.length - at);
    },
    write: (data, { at }) => {
      const taken = data.subarray(0, Math.max(0, room - at));
      const grown = new Uint8Array(Math.max(bytes.length, at + taken.length));
      grown.set(bytes);
      grown.set(taken, at);
      bytes = grown;
      return taken.length;
    },
    truncate: (size) => {
      bytes = bytes.slice(0, size);
    },
    getSize: () => bytes.length,
    flush: () => {},
    close: () => {},
  };
  return { file, text: () => new TextDecoder().decode(bytes) };
}

test('chunks are added and taken out, line by line', () => {
  const record = readJournal(`${head}0 ${A}\n1 ${B}\n0 -\n`);
  expect(record?.meta).toEqual(meta);
  expect([...(record?.chunks ?? [])]).toEqual([[1, B]]);
});

test('an incomplete line is no record, wherever it was cut', () => {
  const whole = `${head}0 ${A}\n1 ${B}\n`;
  for (let end = head.length; end < whole.length; end++) {
    const chunks = readJournal(whole.slice(0, end))?.chunks.size;
    expect(chunks, `cut after ${end}`).toBe(end < head.length + 67 ? 0 : 1);
  }
});

test('without a complete head there is no record', () => {
  for (let end = 0; end < head.length; end++) expect(readJournal(head.slice(0, end))).toBeUndefined();
});

test('invalid lines are ignored', () => {
  const lines = ['x', `-1 ${A}`, `0 ${A.slice(1)}`, `0 ${A} `, `2 ${A.toUpperCase()}`, ''];
  expect(readJournal(`${head}${lines.join('\n')}\n1 ${B}\n`)?.chunks).toEqual(new Map([[1, B]]));
});

test('a journal continues after the last complete line', () => {
  const { file, text } = fakeFile(`${head}0 ${A}\n1 bbb`);
  const journal = new Journal(file);
  journal.add(2, B);
  expect(text().startsWith(`${head}0 ${A}\n2 ${B}\n`)).toBe(true);
  expect(new Journal(fakeFile(text()).file).record?.chunks).toEqual(
    new Map([
      [0, A],
      [2, B],
    ]),
  );
});

test('it begins anew, with chunks that are already stored', () => {
  const { file, text } = fakeFile(`${head}0 ${A}\n`);
  const journal = new Journal(file);
  journal.begin({ ...meta, chunkSize: 8 }, new Map([[1, B]]));
  journal.forget(1);
  expect(journal.chunkSize).toBe(8);
  expect(journal.record?.chunks.size).toBe(0);
  expect(text()).toBe(`${JSON.stringify({ ...meta, chunkSize: 8 })}\n1 ${B}\n1 -\n`);
});

test('a record that did not fit does not count', () => {
  const { file } = fakeFile('', head.length + 10);
  const journal = new Journal(file);
  journal.begin(meta, new Map());
  expect(() => journal.add(0, A)).toThrow(expect.objectContaining({ name: 'QuotaExceededError' }));
  expect(journal.record?.chunks.size).toBe(0);
});

test('nothing can be added before it begins', () => {
  const journal = new Journal(fakeFile().file);
  expect(journal.record).toBeUndefined();
  expect(() => journal.chunkSize).toThrow('nothing was begun');
});
