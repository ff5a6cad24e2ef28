import type { Bitx } from '../codec/bitx.js';
import type { FolderPlan, Task } from '../codec/protocol.js';
import type { ArchiveInfo, Input, RangeSource } from '../codec/types.js';
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
  /** The numbers of the files that are its graphs. */
  graphs: number[];
}

/**
 * Compresses a model folder: each file becomes an archive against those files of the base folder
 * that serve it, and the manifest `bitx.json` describes them. Shards of base and target need not
 * agree. LoRA adapters of PEFT in the base folder serve with the configuration beside them, and
 * external data of ONNX and shards of MLC with the graph beside them.
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
  const { archives, serving, graphs, adapters, sizes } = plan as FolderPlan;
  const meter = new Meter(
    options,
    sizes.slice(bases.size).reduce((sum, size) => sum + size, 0),
  );
  const files = new Map<string, Blob>();
  const folder = await destination(options.output, files);
  const inputs = all.base.map((input, i) => withName(input, paths[i] as string));
  const making = new Making(bitx, options, folder, files, paths, inputs, new Map(adapters));
  try {
    for (const [i, path] of [...targets.keys()].entries()) {
      const target = inputs[bases.size + i] as Input;
      const [archive, numbers, own] = [archives[i], serving[i], graphs[i]] as [string, number[], number[]];
      await named(path, making.add({ path, target, archive, serving: numbers, graphs: own }, meter));
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
  /** The files of the base, and behind them those of the target. */
  readonly #inputs: Input[];
  /** The number of the configuration of each base file that is an adapter. */
  readonly #adapters: Map<number, number>;
  readonly #manifest: Manifest = { format: 'bitx-folder', version: 1, base: [], files: [] };
  /** The index in the manifest of each base file that an archive needs. */
  readonly #numbers = new Map<number, number>();

  constructor(
    bitx: Bitx,
    options: CompressFolderOptions,
    folder: Destination,
    files: Map<string, Blob>,
    paths: string[],
    inputs: Input[],
    adapters: Map<number, number>,
  ) {
    this.#bitx = bitx;
    this.#options = options;
    this.#folder = folder;
    this.#files = files;
    this.#paths = paths;
    this.#inputs = inputs;
    this.#adapters = adapters;
  }

  /** Compresses a file of the target. */
  async add({ path, target, archive, serving, graphs }: Compressing, meter: Meter): Promise<void> {
    const { effort } = this.#options;
    const adapters = serving.filter((number) => this.#adapters.has(number));
    const models = serving.filter((number) => !this.#adapters.has(number));
    const configs = adapters.map((number) => this.#adapters.get(number) as number);
    const inputs = (numbers: number[]) => numbers.map((number) => this.#inputs[number] as Input);
    const ending = new Ending(await this.#folder.at(archive));
    let made: ArchiveInfo | undefined;
    const blob = await this.#bitx.compress({
      base: inputs(models),
      ...(adapters.length > 0 && { adapter: inputs(adapters), config: inputs(configs) }),
      ...(graphs.length > 0 && { graph: inputs(graphs) as [Input, Input] }),
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
      this.#number([...models, ...adapters][file] as number, size, blake3),
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

/** Returns an input with the name that it has in its folder, by which graphs know it. */
function withName(input: Input, path: string): Input {
  const name = path.replace(/.*\//, '');
  if (typeof input === 'string' || input instanceof URL || input instanceof Response) return input;
  if ('name' in input && input.name === name) return input;
  if (input instanceof Blob) return new File([input], name);
  if ('byteLength' in input) return new File([input as BlobPart], name);
  const { size, read } = input as RangeSource;
  return Object.assign({ size, read: read.bind(input) }, { name });
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
