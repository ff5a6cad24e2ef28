import type { ArchiveInfo, Bitx } from 'bitx-wasm';
import { restoredTitle } from '../check.js';
import { sha256 } from '../digest.js';
import { percent } from '../format.js';
import { restoreFigures, showResult, speedFigures, threadFigure } from '../result.js';
import type { Context } from '../task/stage.js';
import { offerPair } from '../why/offer.js';
import { explained, type Roles } from './explain.js';
import { helplessNote } from './helpless.js';
import { type Call, look } from './look.js';
import { merge } from './merge.js';
import { clearResults } from './results.js';
import { isDeltaModel, type Task } from './slots.js';
import { blobsOf, inputOf, type Model, sourceName } from './source.js';
import { total, type Written, write } from './written.js';

/** Runs the operation that the chosen files allow. */
export async function runTask(ready: Promise<Bitx>, task: Task, context: Context): Promise<void> {
  const bitx = await ready;
  const call = { signal: context.signal, onProgress: context.onProgress };
  await clearResults();
  try {
    if (task.kind === 'look') await look(bitx, task.model, call);
    else if (task.kind === 'restore') await restore(bitx, task, call);
    else if (task.kind === 'merge') await merge(bitx, task, call);
    else await compress(bitx, task, call);
  } catch (error) {
    throw await explained(error, rolesOf(task), context.signal);
  }
}

function rolesOf(task: Task): Roles {
  if (task.kind === 'restore') return { base: task.base, delta: task.delta };
  if (task.kind === 'compress') return { base: task.base, target: task.target };
  if (task.kind === 'merge') return { base: task.base, adapter: task.adapter };
  return isDeltaModel(task.model) ? { delta: task.model } : { target: task.model };
}

async function restore(bitx: Bitx, task: Task & { kind: 'restore' }, call: Call): Promise<void> {
  const base = task.base.files.map(inputOf);
  const written: Written[] = [];
  for (const source of task.delta.files) {
    const { restoredBytes } = await bitx.inspect(inputOf(source), call);
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
  const [, extension] =
    /(\.(safetensors|gguf|onnx|tflite|task|bin|pt|pth|npz))$/i.exec(files[0]?.path ?? '') ?? [];
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
  const note = helplessNote(all.archive.tensors);
  showResult({
    title: 'Compressed',
    figures: [
      ['Delta', percent(all.archive.storedBytes, all.archive.restoredBytes), 'of the fine-tune'],
      ...speedFigures(all),
      threadFigure(all),
    ],
    archive: all.archive,
    ...(note && { note, warning: true }),
    save: written.map(({ saved }) => saved),
  });
  const blobs = blobsOf(target);
  if (blobs) offer(task.base, blobs, first.stats.archive, target.name);
}

/** Offers the pair to the pictures of why it is small, if both are on this device. */
function offer(base: Model, target: Blob[], archive: ArchiveInfo, name: string): void {
  const bases = blobsOf(base);
  if (bases && target.length > 0) offerPair({ name, bases, targets: target, archive });
}
