import type { ArchiveInfo, Bitx } from 'bitx-wasm';
import { restoredTitle } from '../check.js';
import { sha256 } from '../digest.js';
import type { Task } from '../files.js';
import { percent } from '../format.js';
import { type Figure, restoreFigures, showResult, speedFigures, threadFigure } from '../result.js';
import { measured } from './measured.js';
import type { Context } from './stage.js';

/** The part of a context that calls of the engine take. */
type Call = Pick<Context, 'signal' | 'onProgress'>;

/** Runs the operation that the chosen files allow. */
export async function runTask(ready: Promise<Bitx>, task: Task, context: Context): Promise<void> {
  const bitx = await ready;
  const call = { signal: context.signal, onProgress: context.onProgress };
  if (task.kind === 'inspect') return inspect(bitx, task.delta, call);
  return task.kind === 'restore' ? restore(bitx, task, call) : compress(bitx, task, call);
}

async function inspect(bitx: Bitx, delta: File, call: Call): Promise<void> {
  const archive = await bitx.inspect(delta, call);
  showResult({ title: `Inside ${delta.name}`, figures: archiveFigures(archive), archive });
}

async function restore(bitx: Bitx, task: Task & { kind: 'restore' }, call: Call): Promise<void> {
  const { base, delta } = task;
  const { blob, stats } = await measured((onStats) => bitx.restore({ base, delta, onStats, ...call }));
  const digest = await sha256(blob);
  const { version } = stats.archive;
  showResult({
    title: restoredTitle(version > 1),
    figures: restoreFigures(stats),
    archive: stats.archive,
    save: { blob, name: delta.name.replace(/(\.v\d+)?\.bitx$/i, '.safetensors') },
    check: { version, sha256: digest },
  });
}

async function compress(bitx: Bitx, task: Task & { kind: 'compress' }, call: Call): Promise<void> {
  const { base, target, effort } = task;
  const { blob, stats } = await measured((onStats) =>
    bitx.compress({ base, target, effort, onStats, ...call }),
  );
  const share = percent(blob.size, target.size);
  showResult({
    title: 'Compressed',
    figures: [['Delta', share, 'of the fine-tune'], ...speedFigures(stats), threadFigure(stats)],
    archive: stats.archive,
    save: { blob, name: target.name.replace(/(\.safetensors)?$/i, '.bitx') },
  });
}

function archiveFigures({ version, storedBytes, restoredBytes }: ArchiveInfo): Figure[] {
  return [
    ['Format', `v${version}`],
    ['Delta', percent(storedBytes, restoredBytes), 'of the fine-tune'],
  ];
}
