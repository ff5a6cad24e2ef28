import { BitxError } from '../common/index.js';

/** The list that an answer is, or has under a key. Whatever listens at an address may be something else than a hub. */
export function listIn<T>(answer: unknown, key?: string): T[] {
  const list = key === undefined ? answer : (answer as Record<string, unknown> | null)?.[key];
  if (Array.isArray(list)) return list;
  throw new BitxError('format', 'This is not what a hub answers: the address may be that of something else');
}
