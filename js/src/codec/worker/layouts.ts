import type { Outcome, Request, Source } from '../protocol.js';
import type { TensorPlace } from '../types.js';
import { checkManifest, Layout } from './core.js';
import { open } from './drive.js';
import type { Files } from './reader.js';

/** Performs an operation that the core has no job for; undefined for all others. */
export async function withoutJob(
  { operation, options: { paths, bases } }: Request,
  files: Files,
  signal: AbortSignal,
): Promise<Outcome | undefined> {
  if (operation === 'layout') {
    return { tensors: (await layoutOf(files, 'target', signal)).tensors() as TensorPlace[] };
  }
  if (operation === 'manifest') return { manifest: checkManifest(await files.start('delta')) as string };
  if (operation !== 'plan') return undefined;
  const layout = await layoutOf(files, 'base', signal, paths);
  return { plan: { ...layout.plan(bases as number), sizes: files.sizes('base') } };
}

/**
 * Reads the layouts of files one after the other. With paths, the layouts of all files are kept for
 * the plan of a folder; without, that of the only file is read.
 */
async function layoutOf(
  files: Files,
  source: Source,
  signal: AbortSignal,
  paths?: string[],
): Promise<Layout> {
  const sizes = files.sizes(source);
  const layout = Layout.open(sizes[0] ?? 0);
  try {
    for (const file of sizes.keys()) {
      await open(layout, (range) => files.read({ ...range, source, file }), signal);
      if (paths) layout.next(paths[file] as string, sizes[file + 1] ?? 0);
    }
    return layout;
  } catch (error) {
    layout.free();
    throw error;
  }
}
