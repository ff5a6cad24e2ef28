import { expect, test, vi } from 'vitest';
import { Lazy } from './lazy.js';

test('it starts once, when it is first needed', async () => {
  const start = vi.fn(async () => ({}));
  const lazy = new Lazy(start);
  expect(start).not.toHaveBeenCalled();
  const [first, second] = await Promise.all([lazy.get(), lazy.get()]);
  expect(first).toBe(second);
  expect(start).toHaveBeenCalledTimes(1);
});

test('it starts again after a failure, and if the last value has died', async () => {
  const start = vi.fn<() => Promise<{ alive: boolean }>>();
  start.mockRejectedValueOnce(new Error('not yet')).mockImplementation(async () => ({ alive: true }));
  const lazy = new Lazy(start, ({ alive }) => alive);
  await expect(lazy.get()).rejects.toThrow('not yet');
  const first = await lazy.get();
  expect(await lazy.get()).toBe(first);
  first.alive = false;
  expect(await lazy.get()).not.toBe(first);
  expect(start).toHaveBeenCalledTimes(3);
});

test('after its end, it rejects with the error', async () => {
  const lazy = new Lazy(async () => 'value');
  await lazy.get();
  const action = vi.fn();
  lazy.end(new Error('closed'), action);
  await expect(lazy.get()).rejects.toThrow('closed');
  expect(action).toHaveBeenCalledWith('value');
});

test('a value that never started is not ended', async () => {
  const start = vi.fn(async () => 'value');
  const action = vi.fn();
  const lazy = new Lazy(start);
  lazy.end(new Error('closed'), action);
  await expect(lazy.get()).rejects.toThrow('closed');
  expect(start).not.toHaveBeenCalled();
  expect(action).not.toHaveBeenCalled();
});
