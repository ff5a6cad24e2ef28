import { BitxError, messageOf } from '../../errors.js';
import { isNamed } from './stores/access.js';

/** Fails with both figures where the browser is not going to grant the space. */
export async function checkQuota(need: number): Promise<void> {
  const have = await available();
  if (have !== undefined && need > have) throw quotaError(need, have);
}

/** Bytes that may still be stored; undefined where the browser does not tell. */
export async function available(): Promise<number | undefined> {
  const { quota, usage } = (await navigator.storage?.estimate()) ?? {};
  return quota === undefined || usage === undefined ? undefined : Math.max(0, quota - usage);
}

/** What a store has thrown, as an error of ours. */
export async function storageError(cause: unknown, need: number): Promise<unknown> {
  if (cause instanceof BitxError || !(cause instanceof DOMException)) return cause;
  if (isNamed(cause, 'QuotaExceededError')) return quotaError(need, (await available()) ?? 0, cause);
  return new BitxError('io', `The model could not be stored: ${messageOf(cause)}`, { cause });
}

function quotaError(need: number, have: number, cause?: unknown): BitxError {
  const message = `The model needs ${need} more bytes of storage, and the browser grants ${have}`;
  return new BitxError('quota', message, cause === undefined ? { need, have } : { need, have, cause });
}
