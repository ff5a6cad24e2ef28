import { answer, ask, type Question } from '../../common/index.js';
import { type Io, io } from './io.js';
import { member } from './member.js';
import { spawn } from './spawn.js';

const services = { ...io, ...member };

/** A call of one of the functions of {@link services}. */
export interface ServiceMessage extends Question {
  type: 'service';
  method: keyof typeof services;
  args: unknown[];
}

/** The time limit for the helper to start, in milliseconds. The host does without a later one. */
const START_LIMIT_MS = 2000;

/**
 * Starts a worker that reads and writes while the host computes. If it does not start, the host
 * does so itself.
 */
export function startHelper(): Promise<Io> {
  return new Promise((resolve) => {
    const without = () => resolve(io);
    spawn().then((worker) => resolve(remote(worker)), without);
    setTimeout(without, START_LIMIT_MS);
  });
}

/**
 * Calls a service of another worker. Buffers are transferred instead of copied, unless they are
 * `kept`.
 */
export function call<T>(
  worker: Worker,
  method: keyof typeof services,
  args: unknown[],
  kept = false,
): Promise<T> {
  return ask(worker, { type: 'service', method, args }, kept ? [] : transferable(args));
}

/** Handles a call in the worker. */
export function serve(message: ServiceMessage): void {
  const { method, args } = message;
  void answer(message, () => (services[method] as (...args: unknown[]) => unknown)(...args), transferable);
}

function remote(worker: Worker): Io {
  const methods = Object.keys(io) as (keyof Io)[];
  const entries = methods.map((method) => [method, (...args: unknown[]) => call(worker, method, args)]);
  return Object.fromEntries(entries);
}

function transferable(value: unknown): Transferable[] {
  if (Array.isArray(value)) return value.flatMap(transferable);
  if (value instanceof Uint8Array) return [value.buffer];
  const port = (value as { port?: MessagePort } | undefined)?.port;
  return port ? [port] : [];
}
