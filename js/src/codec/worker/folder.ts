import type { FolderPlan, OperationOptions } from '../protocol.js';
import { checkManifest, Layout, planFolder } from './core.js';
import { open } from './drive.js';
import type { Files } from './reader.js';

/** The maximum length in bytes of a manifest. */
const LONGEST = 64 << 20;

/** Checks the manifest of a folder of archives, and returns it as it is written. */
export async function manifestOf(files: Files): Promise<string> {
  return checkManifest(await files.start('delta', LONGEST));
}

/** Plans the compression of a folder: the base's files, and behind them the target's. */
export async function planOf(
  files: Files,
  { paths = [], bases = 0 }: OperationOptions,
  signal: AbortSignal,
): Promise<FolderPlan> {
  const layouts: Layout[] = [];
  const sizes = files.sizes('base');
  try {
    for (const [file, size] of sizes.entries()) {
      const layout = Layout.open(size);
      layouts.push(layout);
      await open(layout, (range) => files.read({ ...range, source: 'base', file }), signal);
    }
  } catch (error) {
    for (const layout of layouts) layout.free();
    throw error;
  }
  return { ...planFolder(paths, layouts, bases), sizes };
}
