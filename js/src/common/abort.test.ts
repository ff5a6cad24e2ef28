import { expect, test, vi } from 'vitest';
import { abortable, abortError, onAbort, sleep } from './abort.js';

const never = new Promise<never>(() => {});

test('an action runs once, when the signal is aborted or at once', () => {
  const { signal, ...controller } = withAbort();
  const action = vi.fn();
  onAbort(signal, action);
  expect(action).not.toHaveBeenCalled();
  controller.abort();
  expect(action).toHaveBeenCalledTimes(1);
  onAbort(signal, action);
  expect(action).toHaveBeenCalledTimes(2);
});

test('a cancelled action does not run, and others do', () => {
  const { signal, abort } = withAbort();
  const [kept, dropped] = [vi.fn(), vi.fn()];
  onAbort(signal, kept);
  onAbort(signal, dropped)();
  abort();
  expect(kept).toHaveBeenCalledTimes(1);
  expect(dropped).not.toHaveBeenCalled();
});

test('cancelling one of two equal actions leaves the other', () => {
  const { signal, abort } = withAbort();
  const action = vi.fn();
  onAbort(signal, action);
  onAbort(signal, action)();
  abort();
  expect(action).toHaveBeenCalledTimes(1);
});

test('a signal has one listener, however many wait for it', async () => {
  const { signal } = withAbort();
  const add = vi.spyOn(signal, 'addEventListener');
  await Promise.all(Array.from({ length: 50 }, (_, value) => abortable(signal, Promise.resolve(value))));
  expect(add).toHaveBeenCalledTimes(1);
});

test('a promise settles as usual, unless the abort comes first', async () => {
  const { signal, abort } = withAbort();
  await expect(abortable(signal, Promise.resolve(1))).resolves.toBe(1);
  await expect(abortable(signal, Promise.reject(new Error('own')))).rejects.toThrow('own');
  const waiting = abortable(signal, never);
  abort(new Error('enough'));
  await expect(waiting).rejects.toThrow('enough');
  await expect(abortable(signal, never)).rejects.toThrow('enough');
});

test('a sleep ends in time, or with the abort, and leaves no timer', async () => {
  vi.useFakeTimers();
  try {
    const { signal, abort } = withAbort();
    const slept = vi.fn();
    const first = sleep(100, signal).then(slept);
    await vi.advanceTimersByTimeAsync(99);
    expect(slept).not.toHaveBeenCalled();
    await vi.advanceTimersByTimeAsync(1);
    await first;
    const second = sleep(100, signal);
    abort(new Error('enough'));
    await expect(second).rejects.toThrow('enough');
    expect(vi.getTimerCount()).toBe(0);
  } finally {
    vi.useRealTimers();
  }
});

test('an abort error needs no signal', () => {
  expect(abortError(undefined)).toMatchObject({ code: 'aborted', cause: undefined });
});

function withAbort() {
  const controller = new AbortController();
  return { signal: controller.signal, abort: (reason?: unknown) => controller.abort(reason) };
}
