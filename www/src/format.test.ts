import { expect, test } from 'vitest';
import { bytes, counted, duration, speed } from './format.js';

test('sizes have three digits and never 1000 of a unit', () => {
  const sizes = [0, 999, 1000, 11_830, 999_400, 999_960, 1_192_912, 45_442_040, 3.2e13, 1.5e16];
  expect(sizes.map(bytes)).toEqual([
    ...['0 B', '999 B', '1.00 kB', '11.8 kB', '999 kB', '1.00 MB', '1.19 MB', '45.4 MB', '32.0 TB'],
    '15000 TB',
  ]);
});

test('durations use the units of people', () => {
  const seconds = [0.0001, 0.004, 0.19, 1.25, 12.4, 59.7, 200, 3600, 3900];
  expect(seconds.map(duration)).toEqual([
    ...['1 ms', '4 ms', '0.19 s', '1.3 s', '12 s', '1 min', '3 min 20 s', '1 h', '1 h 5 min'],
  ]);
});

test('a slow speed keeps a decimal, a fast one gets groups', () => {
  expect([speed(2e6, 1), speed(1.5e9, 1)]).toEqual(['2.0 MB/s', '1,500 MB/s']);
});

test('counts agree with their nouns', () => {
  expect([counted(1, 'tensor'), counted(10_000, 'tensor')]).toEqual(['1 tensor', '10,000 tensors']);
});
