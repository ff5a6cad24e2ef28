import type { ArchiveInfo, Bitx } from 'bitx-wasm';
import { bytes, percent } from '../format.js';
import { type Figure, showResult } from '../result.js';
import type { Context } from '../task/stage.js';
import { describeOdd } from './explain.js';
import { isDeltaModel } from './slots.js';
import { inputOf, type Model, sizeOf } from './source.js';

/** The part of a context that calls of the engine take. */
export type Call = Pick<Context, 'signal' | 'onProgress'>;

/** Shows what is inside of a file of any kind. */
export async function look(bitx: Bitx, model: Model, call: Call): Promise<void> {
  const title = `Inside ${model.name}`;
  if (isDeltaModel(model) && model.files[0]) {
    const archive = await bitx.inspect(inputOf(model.files[0]), call);
    return showResult({ title, figures: archiveFigures(archive), archive, note: baseNote(archive) });
  }
  const lists = await Promise.all(model.files.map((file) => bitx.tensors(inputOf(file), call)));
  const tensors = lists.flat();
  if (tensors.length === 0) return lookOutside(model, call);
  const types = [...new Set(tensors.map(({ dtype }) => dtype))];
  const weights = tensors.reduce((sum, { shape }) => sum + shape.reduce((all, extent) => all * extent, 1), 0);
  const length = tensors.reduce((sum, tensor) => sum + tensor.length, 0);
  showResult({
    title,
    figures: [
      ['Tensors', tensors.length.toLocaleString('en'), bytes(length)],
      ['Weights', compact(weights), types.slice(0, 4).join(', ')],
    ],
    tensors,
  });
}

/** Says of a file without tensors what it is. */
async function lookOutside(model: Model, { signal }: Call): Promise<void> {
  const odd = await describeOdd(model, false, signal);
  const sentence = odd ?? `${model.name} has no tensors that bitx knows.`;
  const size = sizeOf(model);
  showResult({
    title: `Inside ${model.name}`,
    figures: size === undefined ? [] : [['Size', bytes(size)]],
    note: `${sentence} As a target, it is stored as differences of its bytes.`,
  });
}

function compact(count: number): string {
  return new Intl.NumberFormat('en', { notation: 'compact', maximumSignificantDigits: 3 }).format(count);
}

function archiveFigures({ version, storedBytes, restoredBytes }: ArchiveInfo): Figure[] {
  return [
    ['Format', `v${version}`],
    ['Delta', percent(storedBytes, restoredBytes), 'of the fine-tune'],
  ];
}

/** Says which base an archive needs, as far as it tells. */
function baseNote({ bases }: ArchiveInfo): string {
  const parts = bases.map(
    ({ size, blake3 }) => `${bytes(size)} with a BLAKE3 that begins with ${blake3.slice(0, 16)}`,
  );
  return parts.length > 0
    ? `Add its base above to restore the model: ${parts.join('; ')}.`
    : 'Add its base above to restore the model.';
}
