import type { TensorInfo } from 'bitx-wasm';
import { percent } from '../format.js';
import { sumOf } from './sum.js';

/** Methods of tensors that are stored against the base. */
const AGAINST_BASE = ['xor', 'copy-base', 'delta', 'predicted', 'grid', 'patch'];

/** Returns a sentence if hardly anything of a model is stored against its base. */
export function helplessNote(tensors: Pick<TensorInfo, 'method' | 'restoredBytes'>[]): string | undefined {
  const size = (list: typeof tensors) => sumOf(list, ({ restoredBytes }) => restoredBytes);
  const helped = size(tensors.filter(({ method }) => AGAINST_BASE.includes(method)));
  const all = size(tensors);
  if (all === 0 || helped > all / 10) return undefined;
  const part = helped === 0 ? 'no tensor' : `only ${percent(helped, all)} of the model`;
  return (
    `This base does not help: ${part} could be stored as a difference from it. ` +
    'The model comes from another base.'
  );
}
