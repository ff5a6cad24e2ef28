import { expect, test } from 'vitest';
import { rangeOf } from './ranges.js';

const asked = (headers: Record<string, string>, etag: string | null = null) =>
  rangeOf({ headers: new Headers(headers) } as Request, 100, etag);

test.each([
  ['bytes=0-9', { start: 0, end: 10 }],
  ['bytes=90-', { start: 90, end: 100 }],
  ['bytes=90-1000', { start: 90, end: 100 }],
  ['bytes=99-99', { start: 99, end: 100 }],
  ['bytes=-10', { start: 90, end: 100 }],
  ['bytes=-1000', { start: 0, end: 100 }],
])('%s is a range', (range, part) => {
  expect(asked({ range })).toEqual(part);
});

test.each(['bytes=100-', 'bytes=100-200', 'bytes=-0'])('%s is outside the file', (range) => {
  expect(asked({ range })).toBe('none');
});

test.each(['', 'bytes=-', 'bytes=9-0', 'bytes=0-1,3-4', 'items=0-1', 'bytes=a-b'])(
  '%s is answered with the whole file',
  (range) => {
    expect(asked({ range })).toBe('all');
  },
);

test('a condition must be met', () => {
  const range = 'bytes=0-9';
  expect(asked({ range, 'if-range': '"a"' }, '"a"')).toEqual({ start: 0, end: 10 });
  expect(asked({ range, 'if-range': '"a"' }, '"b"')).toBe('all');
  expect(asked({ range, 'if-range': '"a"' })).toBe('all');
});

test('without a range, the answer is the whole file', () => {
  expect(asked({})).toBe('all');
});
