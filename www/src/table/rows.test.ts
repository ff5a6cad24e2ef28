import { expect, test } from 'vitest';
import { type Column, drawn, filtered, nextOrder, sorted } from './rows.js';

interface Row {
  name: string;
  size: number;
}

const rows: Row[] = [
  { name: 'layer.10.Query', size: 5 },
  { name: 'layer.2.key', size: 7 },
  { name: 'embedding', size: 5 },
];
const columns: Column<Row>[] = [
  { title: 'Name', value: (row) => row.name, text: (row) => row.name },
  { title: 'Size', value: (row) => row.size, text: (row) => String(row.size), figure: true },
];
const names = (list: Row[]) => list.map(({ name }) => name);

test('a search finds rows that have all words', () => {
  expect(names(filtered(rows, ' LAYER  query', ({ name }) => name))).toEqual(['layer.10.Query']);
  expect(filtered(rows, '  ', ({ name }) => name)).toEqual(rows);
  expect(filtered(rows, 'bias', ({ name }) => name)).toEqual([]);
});

test('rows are sorted by a column, and equal ones keep their order', () => {
  expect(names(sorted(rows, columns, { column: 1, descending: true }))).toEqual([
    ...['layer.2.key', 'layer.10.Query', 'embedding'],
  ]);
  expect(sorted(rows, columns, undefined)).toEqual(rows);
});

test('clicks sort by a column, the other way round, and no more', () => {
  const first = nextOrder(undefined, 1, columns);
  const second = nextOrder(first, 1, columns);
  expect([first, second]).toEqual([
    { column: 1, descending: true },
    { column: 1, descending: false },
  ]);
  expect(nextOrder(second, 1, columns)).toBeUndefined();
  expect(nextOrder(first, 0, columns)).toEqual({ column: 0, descending: false });
});

test('only the rows in view are drawn, whatever their number', () => {
  expect(drawn(10_000, 30, 0, 600)).toEqual({ start: 0, end: 28 });
  expect(drawn(10_000, 30, 150_000, 600)).toEqual({ start: 4992, end: 5028 });
  expect(drawn(3, 30, 0, 600)).toEqual({ start: 0, end: 3 });
  expect(drawn(3, 30, 90_000, 600)).toEqual({ start: 3, end: 3 });
});
