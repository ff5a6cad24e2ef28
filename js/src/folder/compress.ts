import type { Bitx } from '../codec/bitx.js';
import type { FolderPlan, Task } from '../codec/protocol.js';
import type { ArchiveInfo, Input } from '../codec/types.js';
import { checkOptions } from '../common/index.js';
import { type Destination, destination } from './destination.js';
import { Ending } from './ending.js';
import { Meter, named, OPTIONS } from './meter.js';
import { filesOf } from './source.js';
import type { CompressFolderOptions, FolderResult, Manifest, ManifestEntry } from './types.js';

/** The name of the manifest in a folder of archives. */
export const MANIFEST = 'bitx.json';

/** A file of the target: its input, the path of its archive, and the base files that serve it. */
interface Compressing {
  path: string;
  target: Input;
  archive: string;
  serving: number[];
}

/**
 * Compresses a model folder: each file becomes an archive against those files of the base folder
 * that serve it, and the manifest `bitx.json` describes them. Shards of base and target need not
 * agree. ONNX graphs are compressed as files; for external data, call {@link Bitx.compress} with
 * its graph.
 *
 * A folder handle keeps the files that were complete when a call failed.
 *
 * Fails with the codes of {@link Bitx.compress}; paths that differ only in case are `corrupt`.
 *
 * @example
 * ```ts
 * const { files } = await compressFolder(bitx, { base: baseFolder, target: input.files });
 * ```
 */
export async function compressFolder(bitx: Bitx, options: CompressFolderOptions): Promise<FolderResult> {
  checkOptions('compressFolder', options, `base target output effort ${OPTIONS}`);
  const bases = await filesOf('base', options.base);
  const targets = await filesOf('target', options.target);
  const paths = [...bases.keys(), ...targets.keys()];
  // Responses are replaced by their bytes, since they can be read only once.
  const all = { base: [...bases.values(), ...targets.values()] };
  const { signal } = options;
  const task: Task = { operation: 'plan', options: { paths, bases: bases.size }, output: 'blob' };
  const { plan } = await bitx.call(task, all, signal ? { signal } : {});
  const { archives, serving, sizes } = plan as FolderPlan;
  const meter = new Meter(
    options,
    sizes.slice(bases.size).reduce((sum, size) => sum + size, 0),
  );
  const files = new Map<string, Blob>();
  const folder = await destination(options.output, files);
  const making = new Making(bitx, options, folder, files, paths, all.base.slice(0, bases.size));
  try {
    for (const [i, path] of [...targets.keys()].entries()) {
      const target = all.base[bases.size + i] as Input;
      const file = { path, target, archive: archives[i] as string, serving: serving[i] as number[] };
      await named(path, making.add(file, meter));
    }
    return await making.finish();
  } catch (error) {
    await folder.discard();
    throw error;
  }
}

/** The archives that were made so far. */
class Making {
  readonly #bitx: Bitx;
  readonly #options: CompressFolderOptions;
  readonly #folder: Destination;
  readonly #files: Map<string, Blob>;
  readonly #paths: string[];
  readonly #base: Input[];
  readonly #manifest: Manifest = { format: 'bitx-folder', version: 1, base: [], files: [] };
  /** The index in the manifest of each base file that an archive needs. */
  readonly #numbers = new Map<number, number>();

  constructor(
    bitx: Bitx,
    options: CompressFolderOptions,
    folder: Destination,
    files: Map<string, Blob>,
    paths: string[],
    base: Input[],
  ) {
    this.#bitx = bitx;
    this.#options = options;
    this.#folder = folder;
    this.#files = files;
    this.#paths = paths;
    this.#base = base;
  }

  /** Compresses a file of the target. */
  async add({ path, target, archive, serving }: Compressing, meter: Meter): Promise<void> {
    const { effort } = this.#options;
    const ending = new Ending(await this.#folder.at(archive));
    let made: ArchiveInfo | undefined;
    const blob = await this.#bitx.compress({
      base: serving.map((number) => this.#base[number] as Input),
      target,
      effort,
      onlyUsed: true,
      ...ending.output,
      ...meter.begin(path),
      onStats: ({ archive }) => {
        made = archive;
      },
    });
    if (blob) this.#files.set(archive, blob);
    const { restoredBytes, storedBytes, blake3 = '', bases } = made as unknown as ArchiveInfo;
    meter.end(restoredBytes);
    const root = await ending.root(() => this.#folder.end(archive, Ending.LENGTH));
    const base = bases.map(({ file = 0, size, blake3 }) =>
      this.#number(serving[file] as number, size, blake3),
    );
    this.#manifest.files.push({
      file: { path, bytes: restoredBytes, blake3 },
      archive: { path: archive, bytes: storedBytes, root },
      base,
    });
  }

  /** Returns the index in the manifest of a base file. */
  #number(file: number, bytes: number, blake3: string): number {
    const { base } = this.#manifest;
    const known = this.#numbers.get(file);
    if (known !== undefined) return known;
    const number = base.push({ path: this.#paths[file] as string, bytes, blake3 }) - 1;
    this.#numbers.set(file, number);
    return number;
  }

  async finish(): Promise<FolderResult> {
    const text = await checked(this.#bitx, new Blob([JSON.stringify(this.#manifest)]), this.#options);
    await named(MANIFEST, this.#folder.put(MANIFEST, new Blob([text])));
    await this.#folder.finish();
    const manifest: Manifest = JSON.parse(text);
    return { manifest, ...sums(manifest.files), files: this.#files };
  }
}

/** Checks a manifest, and returns it as it is written. */
export async function checked(
  bitx: Bitx,
  delta: Input,
  { signal }: { signal?: AbortSignal },
): Promise<string> {
  const task: Task = { operation: 'manifest', options: {}, output: 'blob' };
  const { manifest } = await bitx.call(task, { delta }, signal ? { signal } : {});
  return manifest as string;
}

/** Returns the bytes of files and of their archives. */
export function sums(entries: ManifestEntry[]): { storedBytes: number; restoredBytes: number } {
  return {
    storedBytes: entries.reduce((sum, { archive }) => sum + archive.bytes, 0),
    restoredBytes: entries.reduce((sum, { file }) => sum + file.bytes, 0),
  };
}
