import type { Stats } from 'bitx-wasm';
import type { Saved } from '../result.js';
import { destinationOf } from './destination.js';
import { sumOf } from './sum.js';

/** A file that was written, with its measurements. */
export interface Written<S = Stats> {
  saved: Saved;
  stats: S;
}

/** Writes one file, to the disk if it is large. */
export async function write<S = Stats>(
  name: string,
  size: number,
  call: (options: {
    onStats: (stats: S) => void;
    output?: FileSystemFileHandle;
  }) => Promise<Blob | undefined>,
): Promise<Written<S>> {
  const { output, finish } = await destinationOf(name, size);
  let stats: S | undefined;
  const onStats = (measured: S) => {
    stats = measured;
  };
  const blob = await call({ onStats, ...(output && { output }) });
  if (!stats) throw new Error('the engine measured nothing');
  return { saved: await finish(blob), stats };
}

/** Adds up the measurements of a model's shards. */
export function total(written: Written[]): Stats {
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
