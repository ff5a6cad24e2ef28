import { expect, test } from 'vitest';
import { Board } from './board.js';

/** Returns `true` if a promise has settled by now. */
async function isSettled(promise: Promise<unknown>): Promise<boolean> {
  const pending = Symbol('pending');
  await new Promise((resolve) => setTimeout(resolve));
  return (await Promise.race([promise, Promise.resolve(pending)])) !== pending;
}

test('it hands out each missing chunk once, in order', async () => {
  const board = new Board(4, [1]);
  expect([await board.next(), await board.next(), await board.next()]).toEqual([0, 2, 3]);
  const more = board.next();
  expect(await isSettled(more)).toBe(false);
  board.close();
  expect(await more).toBeUndefined();
});

test('a wait for a chunk ends when the chunk arrives', async () => {
  const board = new Board(2, [0]);
  expect(await board.arrival(0)).toBe(true);
  const second = board.arrival(1);
  expect(await isSettled(second)).toBe(false);
  board.arrived(1);
  expect(await second).toBe(true);
  expect(await board.arrival(2)).toBe(false);
});

test('only chunks that arrived since are fresh', () => {
  const board = new Board(2, [0]);
  board.arrived(1);
  expect([board.isFresh(0), board.isFresh(1)]).toEqual([false, true]);
});

test('a wrong chunk is handed out again, before the others', async () => {
  const board = new Board(3, [0]);
  board.redo(0);
  expect(await board.next()).toBe(0);
  const arrival = board.arrival(0);
  expect(await isSettled(arrival)).toBe(false);
  board.arrived(0);
  expect(await arrival).toBe(true);
});

test('a wrong chunk wakes a transfer that had nothing to fetch', async () => {
  const board = new Board(1, [0]);
  const next = board.next();
  expect(await isSettled(next)).toBe(false);
  board.redo(0);
  expect(await next).toBe(0);
});

test('a stream ends when its length is known', async () => {
  const board = new Board(Number.POSITIVE_INFINITY);
  const third = board.arrival(2);
  board.arrived(0);
  board.arrived(1);
  expect(await isSettled(third)).toBe(false);
  board.end(2);
  expect(await third).toBe(false);
});

test('after the close, nothing waits', async () => {
  const board = new Board(2);
  const waiting = [board.arrival(0), board.arrival(1)];
  board.close();
  expect(await Promise.all(waiting)).toEqual([false, false]);
  expect(await board.next()).toBeUndefined();
});
