import type { FolderPlan, Outcome, Request, Source } from '../protocol.js';
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
  return { plan: await planOf(files, signal, paths as string[], bases as number) };
}

/** Plans the compression of a folder, whose files are all sources of the base. */
async function planOf(
  files: Files,
  signal: AbortSignal,
  paths: string[],
  bases: number,
): Promise<FolderPlan> {
  const layout = await layoutOf(files, 'base', signal, paths);
  const sizes = files.sizes('base');
  const adapters: FolderPlan['adapters'] = [];
  const numbers = new Map(paths.slice(0, bases).map((path, file) => [path, file]));
  try {
    for (const file of layout.graphsOf(bases) as number[]) {
      layout.openGraph(file, sizes[file] as number);
      await open(layout, (range) => files.read({ ...range, source: 'base', file }), signal);
    }
    for (const [path, file] of numbers) {
      const config = numbers.get(path.replace(/[^/]*$/, 'adapter_config.json'));
      if (config === undefined || !layout.isAdapter(file)) continue;
      if (layout.canMerge(file, await files.start('base', config))) adapters.push([file, config]);
    }
  } catch (error) {
    layout.free();
    throw error;
  }
  return { ...layout.plan(), adapters, sizes };
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
