import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { Meter } from './meter.js';

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

test('it reports the beginning and the end, and in between not too often', () => {
  const report = vi.fn();
  const meter = new Meter('download', report);
  meter.begin(2, 10);
  meter.add(1);
  vi.advanceTimersByTime(50);
  meter.add(1);
  meter.add(-1);
  meter.add(7);
  expect(report.mock.calls.map(([{ loaded, total }]) => [loaded, total])).toEqual([
    [2, 10],
    [4, 10],
    [10, 10],
  ]);
});
