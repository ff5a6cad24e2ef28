import { BitxError } from './errors.js';

/** The actions that wait for a signal. Node warns of a leak where a signal has more than ten listeners. */
const waiting = new WeakMap<AbortSignal, Set<() => void>>();

/** The error of a call whose signal was aborted. */
export function abortError(signal: AbortSignal | undefined): BitxError {
  return new BitxError('aborted', 'The operation was aborted', { cause: signal?.reason });
}

/**
 * Calls `action` once: when the signal is aborted, or now if it was. The function that it returns takes the action
 * back. However many actions wait for a signal, it has one listener.
 */
export function onAbort(signal: AbortSignal, action: () => void): () => void {
  if (signal.aborted) {
    action();
    return () => {};
  }
  const actions = waiting.get(signal) ?? listenTo(signal);
  // Whoever waits twice with the same function waits for two calls.
  const own = () => action();
  actions.add(own);
  return () => actions.delete(own);
}

/** The same promise, but rejected with the signal's reason as soon as the signal is aborted. */
export function abortable<T>(signal: AbortSignal, promise: Promise<T>): Promise<T> {
  const aborted = Promise.withResolvers<never>();
  const forget = onAbort(signal, () => aborted.reject(signal.reason));
  return Promise.race([promise, aborted.promise]).finally(forget);
}

/** Runs `action`, and fails with an `abortError` if that fails once the signal is aborted. */
export async function orAbortError<T>(signal: AbortSignal | undefined, action: () => Promise<T>): Promise<T> {
  try {
    return await action();
  } catch (error) {
    throw signal?.aborted ? abortError(signal) : error;
  }
}

/** Waits for some milliseconds; rejects with the signal's reason as soon as the signal is aborted. */
export function sleep(ms: number, signal: AbortSignal): Promise<void> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const over = new Promise<void>((resolve) => {
    timer = setTimeout(resolve, ms);
  });
  return abortable(signal, over).finally(() => clearTimeout(timer));
}

function listenTo(signal: AbortSignal): Set<() => void> {
  const actions = new Set<() => void>();
  waiting.set(signal, actions);
  const run = () => {
    for (const action of actions) action();
  };
  signal.addEventListener('abort', run, { once: true });
  return actions;
}
