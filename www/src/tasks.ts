import type { ArchiveInfo, Bitx, Stats } from 'bitx-wasm';
import type { HubProgress } from 'bitx-wasm/hub';
import { restoredTitle } from './check.js';
import { sha256 } from './digest.js';
import type { Task } from './files.js';
import { bytes, percent, threads } from './format.js';
import { type Figure, showResult, speedFigures } from './result.js';
import { cachedBase, sample } from './sample.js';

/** The progress of a task, in bytes. */
export type TaskProgress = Pick<HubProgress, 'phase' | 'loaded' | 'total'>;

/** The arguments of every task. */
export interface Context {
  signal: AbortSignal;
  onProgress: (progress?: TaskProgress) => void;
}

/** Fetches and restores the sample, and compares it with its expected digest. */
export async function runSample(bitx: Bitx, context: Context): Promise<void> {
  const { response, fetched } = await cachedBase(context.signal);
  const baseBytes = Number(response.headers.get('content-length'));
  const { blob, stats } = await measured((onStats) =>
    bitx.restore({ base: response, delta: sample.delta, onStats, ...context }),
  );
  const { archive } = stats;
  const digest = await sha256(blob);
  const note = fetched
    ? `delta ${bytes(archive.storedBytes)}, base ${bytes(baseBytes)}`
    : 'the base was cached';
  showResult({
    title: restoredTitle(true),
    figures: [
      ['Fetched', bytes(archive.storedBytes + (fetched ? baseBytes : 0)), note],
      ...restoreFigures(stats),
    ],
    archive,
    save: { blob, name: sample.name },
    check: { version: archive.version, sha256: digest, expected: sample.sha256 },
  });
}

/** Runs the operation that the chosen files allow. */
export function runTask(bitx: Bitx, task: Task, context: Context): Promise<void> {
  if (task.kind === 'inspect') return inspect(bitx, task.delta, context);
  return task.kind === 'restore' ? restore(bitx, task, context) : compress(bitx, task, context);
}

async function inspect(bitx: Bitx, delta: File, context: Context): Promise<void> {
  const archive = await bitx.inspect(delta, context);
  showResult({ title: `Inside ${delta.name}`, figures: archiveFigures(archive), archive });
}

async function restore(bitx: Bitx, task: Task & { kind: 'restore' }, context: Context): Promise<void> {
  const { base, delta } = task;
  const { blob, stats } = await measured((onStats) => bitx.restore({ base, delta, onStats, ...context }));
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

async function compress(bitx: Bitx, task: Task & { kind: 'compress' }, context: Context): Promise<void> {
  const { base, target, effort } = task;
  const { blob, stats } = await measured((onStats) =>
    bitx.compress({ base, target, effort, onStats, ...context }),
  );
  const share = percent(blob.size, target.size);
  showResult({
    title: 'Compressed',
    figures: [['Delta', share, 'of the fine-tune'], ...speedFigures(stats), threadFigure(stats)],
    archive: stats.archive,
    save: { blob, name: target.name.replace(/(\.safetensors)?$/i, '.bitx') },
  });
}

function restoreFigures(stats: Stats): Figure[] {
  return [
    ['Restored', bytes(stats.outputBytes), 'the whole model'],
    ...speedFigures(stats),
    threadFigure(stats),
  ];
}

function archiveFigures({ version, storedBytes, restoredBytes }: ArchiveInfo): Figure[] {
  return [
    ['Format', `v${version}`],
    ['Delta', percent(storedBytes, restoredBytes), 'of the fine-tune'],
  ];
}

function threadFigure({ threads: count }: Stats): Figure {
  return ['Computed on', threads(count), count > 1 ? 'in parallel' : 'single-threaded build'];
}

/** Runs a call that resolves to a Blob, and returns its statistics as well. */
async function measured(
  call: (onStats: (stats: Stats) => void) => Promise<Blob>,
): Promise<{ blob: Blob; stats: Stats }> {
  const { promise, resolve } = Promise.withResolvers<Stats>();
  const blob = await call(resolve);
  return { blob, stats: await promise };
}
