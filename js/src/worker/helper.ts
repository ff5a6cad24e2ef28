import { answer, ask, type Question } from '../rpc.js';
import { type Io, io } from './io.js';

/** A call of one of the functions of {@link Io}. */
export interface IoMessage extends Question {
  type: 'io';
  method: keyof Io;
  args: unknown[];
}

/** A worker that has given no sign of life by then is done without. */
const START_LIMIT_MS = 2000;

/** Starts a worker that reads and writes while the host computes. Without one the host does that itself. */
export function startHelper(): Promise<Io> {
  const worker = new Worker(self.location.href, { type: 'module' });
  return new Promise((resolve) => {
    worker.onmessage = () => resolve(remote(worker));
    setTimeout(resolve, START_LIMIT_MS, io);
  });
}

/** What the worker does with a message. */
export function answerIo(message: IoMessage): void {
  const { method, args } = message;
  void answer(message, () => (io[method] as (...args: unknown[]) => unknown)(...args), transferable);
}

function remote(worker: Worker): Io {
  const call =
    (method: string) =>
    (...args: unknown[]) =>
      ask(worker, { type: 'io', method, args }, args.flatMap(transferable));
  return Object.fromEntries(Object.keys(io).map((method) => [method, call(method)])) as unknown as Io;
}

/** Buffers change hands without being copied. */
function transferable(value: unknown): Transferable[] {
  if (value instanceof Uint8Array) return [value.buffer];
  const port = (value as { port?: MessagePort } | undefined)?.port;
  return port ? [port] : [];
}
