import { BitxError, messageOf } from '../../common/index.js';
import { availableStorage } from '../storage.js';
import { isNamed } from './stores/access.js';

/** Throws an error with both figures if the browser will not grant the space. */
export async function checkQuota(need: number): Promise<void> {
  const have = await availableStorage();
  if (have !== undefined && need > have) throw quotaError(need, have);
}

/** Converts an error of a store into a `BitxError`. */
export async function storageError(cause: unknown, need: number): Promise<unknown> {
  if (cause instanceof BitxError || !(cause instanceof DOMException)) return cause;
  if (isNamed(cause, 'QuotaExceededError')) return quotaError(need, await availableStorage(), cause);
  return new BitxError('io', `The model could not be stored: ${messageOf(cause)}`, { cause });
}

/**
 * Returns the error for too little storage. It leaves out an estimate above the need: some browsers
 * report the same estimate to every page, and then grant less.
 */
function quotaError(need: number, estimate: number | undefined, cause?: unknown): BitxError {
  const have = estimate !== undefined && estimate < need ? { have: estimate } : {};
  const grants =
    estimate !== undefined && estimate < need ? `grants only ${estimate}` : 'does not grant them';
  const message = `The model needs ${need} more bytes of storage, but the browser ${grants}`;
  return new BitxError('quota', message, { need, ...have, ...(cause ? { cause } : {}) });
}
