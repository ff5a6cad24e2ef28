import { expect, test } from 'vitest';
import { orAbortError } from './abort.js';

test('only a failure after an abort becomes an abort error', async () => {
  const controller = new AbortController();
  const { signal } = controller;
  const fail = () => Promise.reject(new Error('own'));
  await expect(orAbortError(signal, fail)).rejects.toThrow('own');
  await expect(orAbortError(undefined, fail)).rejects.toThrow('own');
  controller.abort('why');
  await expect(orAbortError(signal, fail)).rejects.toMatchObject({ code: 'aborted', cause: 'why' });
  await expect(orAbortError(signal, async () => 1)).resolves.toBe(1);
});
