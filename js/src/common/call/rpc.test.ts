import { expect, test } from 'vitest';
import { BitxError } from '../errors.js';
import { answer, ask, type Question } from './rpc.js';

/** Asks a question over a real channel; the other end answers with the result of an action. */
async function asked<T>(action: (question: Question & { text: string }) => T | Promise<T>): Promise<T> {
  const { port1, port2 } = new MessageChannel();
  port2.onmessage = ({ data }) => void answer(data, () => action(data));
  try {
    return await ask<T>(port1, { text: 'how much?' });
  } finally {
    port1.close();
    port2.close();
  }
}

test('an answer comes back', async () => {
  expect(await asked(({ text }) => `${text} 42`)).toBe('how much? 42');
  expect(await asked(async () => undefined)).toBeUndefined();
});

test('a failure comes back as an error of the same code', async () => {
  const failure = asked(() => {
    throw new BitxError('io', 'no disk', { file: 'base' });
  });
  await expect(failure).rejects.toBeInstanceOf(BitxError);
  await expect(failure).rejects.toMatchObject({ code: 'io', file: 'base', message: 'no disk' });
  await expect(asked(() => Promise.reject(new TypeError('oops')))).rejects.toMatchObject({
    code: 'internal',
  });
});

test('buffers change hands without a copy', async () => {
  const { port1, port2 } = new MessageChannel();
  const given = Uint8Array.of(1, 2, 3);
  const made = Uint8Array.of(4, 5);
  port2.onmessage = ({ data }) =>
    void answer(
      data,
      () => made,
      (bytes) => [bytes.buffer],
    );
  expect(await ask<Uint8Array>(port1, { given }, [given.buffer])).toEqual(Uint8Array.of(4, 5));
  expect([given.byteLength, made.byteLength]).toEqual([0, 0]);
  port1.close();
  port2.close();
});
