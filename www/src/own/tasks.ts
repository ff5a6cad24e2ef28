import type { ArchiveInfo, Bitx, Stats } from 'bitx-wasm';
import { restoredTitle } from '../check.js';
import { sha256 } from '../digest.js';
import { bytes, percent } from '../format.js';
import {
  type Figure,
  restoreFigures,
  type Saved,
  showResult,
  speedFigures,
  threadFigure,
} from '../result.js';
import type { Link } from '../send/query.js';
import type { Context } from '../task/stage.js';
import { offerPair } from '../why/offer.js';
import { destinationOf } from './destination.js';
import { describeOdd, explained, type Roles } from './explain.js';
import { isDeltaModel, type Task } from './slots.js';
import { blobsOf, inputOf, type Model, sizeOf, sourceName } from './source.js';

/** The part of a context that calls of the engine take. */
type Call = Pick<Context, 'signal' | 'onProgress'>;
/** A file that was written, with its measurements. */
type Written = { saved: Saved; stats: Stats };

/** Methods of tensors that are stored against the base. */
const AGAINST_BASE = ['xor', 'copy-base', 'delta', 'predicted', 'grid', 'patch'];

/** Returns the link that a task is, if all of its files are at addresses. */
export function linkOf(task: Task): Link | undefined {
  const urls = ({ files }: Model) => files.map(({ file }) => file).filter((file) => file instanceof URL);
  const all = (model: Model) => urls(model).length === model.files.length;
  if (task.kind === 'look') {
    const [model, ...more] = urls(task.model);
    return model && more.length === 0 ? { kind: 'look', model } : undefined;
  }
  if (task.kind !== 'restore' || !all(task.base)) return undefined;
  const [delta, ...more] = urls(task.delta);
  return delta && more.length === 0 ? { kind: 'restore', bases: urls(task.base), delta } : undefined;
}

/** Runs the operation that the chosen files allow. */
export async function runTask(ready: Promise<Bitx>, task: Task, context: Context): Promise<void> {
  const bitx = await ready;
  const call = { signal: context.signal, onProgress: context.onProgress };
  try {
    if (task.kind === 'look') await look(bitx, task.model, call);
    else if (task.kind === 'restore') await restore(bitx, task, call);
    else await compress(bitx, task, call);
  } catch (error) {
    throw await explained(error, rolesOf(task));
  }
}

function rolesOf(task: Task): Roles {
  if (task.kind === 'restore') return { base: task.base, delta: task.delta };
  if (task.kind === 'compress') return { base: task.base, target: task.target };
  return isDeltaModel(task.model) ? { delta: task.model } : { target: task.model };
}

/** Shows what is inside of a file of any kind. */
async function look(bitx: Bitx, model: Model, call: Call): Promise<void> {
  const title = `Inside ${model.name}`;
  if (isDeltaModel(model) && model.files[0]) {
    const archive = await bitx.inspect(inputOf(model.files[0]), call);
    return showResult({ title, figures: archiveFigures(archive), archive, note: baseNote(archive) });
  }
  const lists = await Promise.all(model.files.map((file) => bitx.tensors(inputOf(file), call)));
  const tensors = lists.flat();
  if (tensors.length === 0) return lookOutside(model);
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
async function lookOutside(model: Model): Promise<void> {
  const sentence = (await describeOdd(model, false)) ?? `${model.name} has no tensors that bitx knows.`;
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
  const parts = bases.map(({ size, blake3 }) => `${bytes(size)} with BLAKE3 ${blake3.slice(0, 16)}…`);
  return parts.length > 0
    ? `Its base: ${parts.join('; ')}. Add it above to restore the model.`
    : 'Add its base above to restore the model.';
}

async function restore(bitx: Bitx, task: Task & { kind: 'restore' }, call: Call): Promise<void> {
  const base = task.base.files.map(inputOf);
  const written: Written[] = [];
  for (const source of task.delta.files) {
    const { restoredBytes } = await bitx.inspect(inputOf(source), { signal: call.signal });
    const name = sourceName(source).replace(/(\.v\d+)?\.bitx$/i, extensionOf(task.base));
    written.push(
      await write(name, restoredBytes, (options) =>
        bitx.restore({ base, delta: inputOf(source), ...options, ...call }),
      ),
    );
  }
  const [first] = written;
  if (!first) return;
  const { stats, saved } = first;
  const { version } = stats.archive;
  const digest = written.length === 1 ? await sha256(saved.blob) : undefined;
  showResult({
    title: restoredTitle(version > 1),
    figures: restoreFigures(total(written)),
    archive: stats.archive,
    save: written.map((one) => one.saved),
    ...(written.length === 1 && { check: { version, sha256: digest } }),
  });
  offer(task.base, [saved.blob], stats.archive, task.delta.name);
}

/** Returns the extension of a model, which that of its fine-tunes is as well. */
function extensionOf({ files }: Model): string {
  const [, extension] = /(\.(safetensors|gguf|onnx|bin|pt|pth|npz))$/i.exec(files[0]?.path ?? '') ?? [];
  return extension ?? '.safetensors';
}

async function compress(bitx: Bitx, task: Task & { kind: 'compress' }, call: Call): Promise<void> {
  const { effort, target } = task;
  const base = task.base.files.map(inputOf);
  const written: Written[] = [];
  for (const source of target.files) {
    const name = sourceName(source).replace(/(\.safetensors)?$/i, '.bitx');
    const most = source.file instanceof File ? source.file.size : 0;
    written.push(
      await write(name, most, (options) =>
        bitx.compress({ base, target: inputOf(source), effort, ...options, ...call }),
      ),
    );
  }
  const [first] = written;
  if (!first) return;
  const all = total(written);
  const note = helplessNote(written.map(({ stats }) => stats.archive));
  showResult({
    title: 'Compressed',
    figures: [
      ['Delta', percent(all.archive.storedBytes, all.archive.restoredBytes), 'of the fine-tune'],
      ...speedFigures(all),
      threadFigure(all),
    ],
    archive: all.archive,
    ...(note && { note }),
    save: written.map(({ saved }) => saved),
  });
  const blobs = blobsOf(target);
  if (blobs) offer(task.base, blobs, first.stats.archive, target.name);
}

/** Writes one file, to the disk if it is large. */
async function write(
  name: string,
  size: number,
  call: (options: {
    onStats: (stats: Stats) => void;
    output?: FileSystemFileHandle;
  }) => Promise<Blob | undefined>,
): Promise<Written> {
  const { output, finish } = await destinationOf(name, size);
  let stats: Stats | undefined;
  const onStats = (measured: Stats) => {
    stats = measured;
  };
  const blob = await call({ onStats, ...(output && { output }) });
  if (!stats) throw new Error('the engine measured nothing');
  return { saved: await finish(blob), stats };
}

/** Adds up the measurements of a model's shards. */
function total(written: Written[]): Stats {
  const all = written.map(({ stats }) => stats);
  const archives = all.map(({ archive }) => archive);
  const [first] = all;
  if (!first) throw new Error('nothing was written');
  return {
    ...first,
    outputBytes: sumOf(all, ({ outputBytes }) => outputBytes),
    modelBytes: sumOf(all, ({ modelBytes }) => modelBytes),
    codecSeconds: sumOf(all, ({ codecSeconds }) => codecSeconds),
    totalSeconds: sumOf(all, ({ totalSeconds }) => totalSeconds),
    archive: {
      ...first.archive,
      storedBytes: sumOf(archives, ({ storedBytes }) => storedBytes),
      restoredBytes: sumOf(archives, ({ restoredBytes }) => restoredBytes),
      tensors: archives.flatMap(({ tensors }) => tensors),
    },
  };
}

function sumOf<T>(list: T[], of: (item: T) => number): number {
  return list.reduce((sum, item) => sum + of(item), 0);
}

/** Returns a sentence if hardly anything of a model is stored against its base. */
function helplessNote(archives: ArchiveInfo[]): string | undefined {
  const tensors = archives.flatMap((archive) => archive.tensors);
  const size = (list: typeof tensors) => sumOf(list, ({ restoredBytes }) => restoredBytes);
  const helped = size(tensors.filter(({ method }) => AGAINST_BASE.includes(method)));
  const all = size(tensors);
  if (all === 0 || helped > all / 10) return undefined;
  const part = helped === 0 ? 'No tensor' : `Only ${percent(helped, all)} of the model`;
  return `This base does not help: ${part} could be stored as a difference from it. The model comes from another base.`;
}

/** Offers the pair to the pictures of why it is small, if both are on this device. */
function offer(base: Model, target: Blob[], archive: ArchiveInfo, name: string): void {
  const bases = blobsOf(base);
  if (bases && target.length > 0) offerPair({ name, bases, targets: target, archive });
}
