import type { Bitx, MergeStats } from 'bitx-wasm';
import { sha256 } from '../digest.js';
import { bytes, counted } from '../format.js';
import { showResult, speedFigures, threadFigure } from '../result.js';
import type { Call } from './look.js';
import { remoteFile } from './remote.js';
import type { Task } from './slots.js';
import { inputOf, type Source, sourceName } from './source.js';
import { sumOf } from './sum.js';
import { type Written, write } from './written.js';

/** Merges an adapter into each file of its base. */
export async function merge(bitx: Bitx, task: Task & { kind: 'merge' }, call: Call): Promise<void> {
  const base = task.base.files.map(inputOf);
  const [factors] = task.adapter.files;
  if (!factors) return;
  const inputs = { base, adapter: inputOf(factors), config: inputOf(task.config) };
  const written: Written<MergeStats>[] = [];
  for (const [file, source] of task.base.files.entries()) {
    const size = await lengthOf(source, call.signal);
    written.push(
      await write<MergeStats>(`merged-${sourceName(source)}`, size, (options) =>
        bitx.merge({ ...inputs, file, ...options, ...call }),
      ),
    );
  }
  await show(written);
}

/** Returns the length of a file, to know whether its merge fits in memory; 0 if it is not told. */
async function lengthOf({ file }: Source, signal: AbortSignal): Promise<number> {
  if (file instanceof File) return file.size;
  const { size } = await remoteFile(file.href, signal).catch(() => ({ size: 0 }));
  signal.throwIfAborted();
  return size;
}

async function show(written: Written<MergeStats>[]): Promise<void> {
  const [first] = written;
  if (!first) return;
  const all = written.map(({ stats }) => stats);
  const sum = (of: (stats: MergeStats) => number) => sumOf(all, of);
  const stats = {
    modelBytes: sum(({ modelBytes }) => modelBytes),
    codecSeconds: sum(({ codecSeconds }) => codecSeconds),
    totalSeconds: sum(({ totalSeconds }) => totalSeconds),
  };
  const digest = written.length === 1 ? await sha256(first.saved.blob) : undefined;
  showResult({
    title: 'Merged',
    figures: [
      ['Merged', bytes(sum(({ outputBytes }) => outputBytes)), 'the whole model'],
      [
        'Changed',
        counted(
          sum(({ tensors }) => tensors.length),
          'tensor',
        ),
        'by the adapter',
      ],
      ...speedFigures(stats),
      threadFigure(first.stats),
    ],
    save: written.map(({ saved }) => saved),
    check: { computed: true, version: 0, sha256: digest },
  });
}
