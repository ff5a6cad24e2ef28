import { expect, test } from 'vitest';
import { TimeLeft } from './time-left.js';

test('the time left follows from the speed so far', () => {
  const left = new TimeLeft();
  expect(left.seconds('restore', 0, 100, 1000)).toBeUndefined();
  expect(left.seconds('restore', 50, 100, 1500)).toBeUndefined();
  expect(left.seconds('restore', 50, 100, 3000)).toBe(2);
});

test('a phase and a restart begin anew, and an unknown total tells nothing', () => {
  const left = new TimeLeft();
  left.seconds('download', 0, 100, 0);
  expect(left.seconds('restore', 80, 100, 4000)).toBeUndefined();
  expect(left.seconds('restore', 90, 100, 6000)).toBe(2);
  expect(left.seconds('restore', 10, 100, 7000)).toBeUndefined();
  expect(left.seconds('restore', 30, undefined, 9000)).toBeUndefined();
});
