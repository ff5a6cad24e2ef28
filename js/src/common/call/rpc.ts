import { fromWire, toWire, type WireError } from '../errors.js';

/** A question, with the port to which its answer is sent. */
export interface Question {
  reply: MessagePort;
}

type Reply = { value: unknown } | { error: WireError };

/** The end of a channel that takes questions. */
interface Asked {
  postMessage(message: object, transfer: object[]): void;
}

/** Sends a message and resolves to its answer. */
export function ask<T>(to: Asked, message: object, transfer: object[] = []): Promise<T> {
  const { port1, port2 } = new MessageChannel();
  return new Promise((resolve, reject) => {
    port1.onmessage = ({ data }: MessageEvent<Reply>) => {
      port1.close();
      if ('error' in data) reject(fromWire(data.error));
      else resolve(data.value as T);
    };
    to.postMessage({ ...message, reply: port2 }, [port2, ...transfer]);
  });
}

/**
 * Answers a question with the result or the error of an action. `transferOf` lists what to transfer
 * with a result.
 */
export async function answer<T>(
  { reply }: Question,
  action: () => T | Promise<T>,
  transferOf: (value: T) => object[] = () => [],
): Promise<void> {
  try {
    const value = await action();
    reply.postMessage({ value } satisfies Reply, transferOf(value));
  } catch (thrown) {
    reply.postMessage({ error: toWire(thrown) } satisfies Reply);
  }
}
