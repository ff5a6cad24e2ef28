import type { FolderPlan, OperationOptions } from '../protocol.js';
import { checkManifest, Layout } from './core.js';
import { open } from './drive.js';
import type { Files } from './reader.js';

/** Checks the manifest of a folder of archives, and returns it as it is written. */
export async function manifestOf(files: Files): Promise<string> {
  return checkManifest(await files.start('delta')) as string;
}

/** Plans the compression of a folder: the base's files, and behind them the target's. */
export async function planOf(
  files: Files,
  { paths = [], bases = 0 }: OperationOptions,
  signal: AbortSignal,
): Promise<FolderPlan> {
  const sizes = files.sizes('base');
  const layout = Layout.open(sizes[0] ?? 0);
  try {
    for (const [file, path] of paths.entries()) {
      await open(layout, (range) => files.read({ ...range, source: 'base', file }), signal);
      layout.next(path, sizes[file + 1] ?? 0);
    }
  } catch (error) {
    layout.free();
    throw error;
  }
  return { ...layout.plan(bases), sizes };
}
