import { BitxError } from './errors.js';

/**
 * The actions to run when a signal is aborted. They share one listener, since Node warns of a leak
 * if a signal has more than ten.
 */
const waiting = new WeakMap<AbortSignal, Set<() => void>>();

/** Returns the error of a call whose signal was aborted. */
export function abortError(signal: AbortSignal | undefined): BitxError {
  return new BitxError('aborted', 'The operation was aborted', { cause: signal?.reason });
}

/**
 * Calls `action` once: when the signal is aborted, or immediately if it already is. Returns a
 * function that cancels this. All actions of a signal share one listener.
 */
export function onAbort(signal: AbortSignal, action: () => void): () => void {
  if (signal.aborted) {
    action();
    return () => {};
  }
  const actions = waiting.get(signal) ?? listenTo(signal);
  // A wrapper makes equal actions distinct: one that is registered twice runs twice.
  const own = () => action();
  actions.add(own);
  return () => actions.delete(own);
}

/**
 * Returns the same promise, but rejects with the signal's reason as soon as the signal is aborted.
 */
export function abortable<T>(signal: AbortSignal, promise: Promise<T>): Promise<T> {
  const aborted = Promise.withResolvers<never>();
  const forget = onAbort(signal, () => aborted.reject(signal.reason));
  return Promise.race([promise, aborted.promise]).finally(forget);
}

/**
 * Waits for `ms` milliseconds; rejects with the signal's reason as soon as the signal is aborted.
 */
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
