import { abortError } from '../common/index.js';

/** Runs `action`. If it fails and the signal is aborted, rejects with an `abortError` instead. */
export async function orAbortError<T>(signal: AbortSignal | undefined, action: () => Promise<T>): Promise<T> {
  try {
    return await action();
  } catch (error) {
    throw signal?.aborted ? abortError(signal) : error;
  }
}
