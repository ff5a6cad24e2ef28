import { expect, test, vi } from 'vitest';
import { availableStorage, sumOf } from './storage.js';

test('a sum is known as long as all of its parts are', () => {
  expect(sumOf([])).toBe(0);
  expect(sumOf([1, 2, 3])).toBe(6);
  expect(sumOf([1, undefined, 3])).toBeUndefined();
});

test('the space that is left is never negative, and unknown where the browser does not tell', async () => {
  const grants = async (estimate: StorageEstimate) => {
    vi.stubGlobal('navigator', { storage: { estimate: async () => estimate } });
    return availableStorage();
  };
  expect(await grants({ quota: 10, usage: 4 })).toBe(6);
  expect(await grants({ quota: 10, usage: 14 })).toBe(0);
  expect(await grants({ usage: 4 })).toBeUndefined();
  vi.stubGlobal('navigator', {});
  expect(await availableStorage()).toBeUndefined();
});
