import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { BitxError } from '../errors.js';
import { Patience, retryAfter, Transient } from './patience.js';

const { signal } = new AbortController();

beforeEach(() => {
  vi.useFakeTimers();
  vi.spyOn(Math, 'random').mockReturnValue(1);
});
afterEach(() => {
  vi.useRealTimers();
});

/** Returns the milliseconds until the next try, or the error if there is none. */
async function waits(patience: Patience, error: unknown): Promise<number | unknown> {
  const begun = Date.now();
  const outcome = patience.after(error).then(
    () => Date.now() - begun,
    (thrown: unknown) => thrown,
  );
  await vi.runAllTimersAsync();
  return outcome;
}

test('Retry-After is seconds or a date', () => {
  vi.setSystemTime(new Date('2024-01-01T00:00:00Z'));
  expect(retryAfter('3')).toBe(3000);
  expect(retryAfter('Mon, 01 Jan 2024 00:00:10 GMT')).toBe(10_000);
  expect(retryAfter('Sun, 31 Dec 2023 00:00:00 GMT')).toBe(0);
});

test('an invalid Retry-After is ignored', () => {
  expect(retryAfter(null)).toBeUndefined();
  expect(retryAfter('soon')).toBeUndefined();
  expect(retryAfter('1.5 s')).toBeUndefined();
});

test('each pause is twice as long, until the tries are used up', async () => {
  const patience = new Patience({ retries: 3, retryDelay: 100 }, signal);
  const error = new Transient('gone', {});
  const pauses = [];
  for (let tries = 0; tries < 4; tries++) pauses.push(await waits(patience, error));
  expect(pauses).toEqual([100, 200, 400, error]);
});

test('no pause is longer than 30 s, unless the server demands one', async () => {
  const patience = new Patience({ retries: 5, retryDelay: 20_000 }, signal);
  expect(await waits(patience, new Transient('gone', {}))).toBe(20_000);
  expect(await waits(patience, new Transient('gone', {}))).toBe(30_000);
  expect(await waits(patience, new Transient('busy', {}, 110_000))).toBe(110_000);
  const closed = new Transient('busy', {}, 121_000);
  expect(await waits(patience, closed)).toBe(closed);
});

test('after progress, all tries are available again', async () => {
  const patience = new Patience({ retries: 1, retryDelay: 100 }, signal);
  const error = new Transient('gone', {});
  expect(await waits(patience, error)).toBe(100);
  patience.renew();
  expect(await waits(patience, error)).toBe(100);
  expect(await waits(patience, error)).toBe(error);
});

test('a permanent failure is not retried', async () => {
  const patience = new Patience({ retries: 5, retryDelay: 100 }, signal);
  const error = new BitxError('network', 'status 404');
  expect(await waits(patience, error)).toBe(error);
});
