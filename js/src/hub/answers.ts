import { BitxError } from '../common/index.js';

/**
 * Returns the list in an answer: the answer itself, or its value under `key`. Throws if there is
 * none, since the address may belong to something else than a hub.
 */
export function listIn<T>(answer: unknown, key?: string): T[] {
  const list = key === undefined ? answer : (answer as Record<string, unknown> | null)?.[key];
  if (Array.isArray(list)) return list;
  throw new BitxError('format', 'The answer is not that of a hub: check the address');
}
