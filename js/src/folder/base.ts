import type { Bitx } from '../codec/bitx.js';
import type { Input, RangeSource } from '../codec/types.js';
import { BitxError } from '../common/index.js';
import { sizeOnDisk } from './disk.js';
import type { Folder } from './source.js';
import type { ManifestFile } from './types.js';

/** The base files of a folder of archives. */
export class BaseFiles {
  readonly #bitx: Bitx;
  readonly #folder: Folder;
  readonly #named: ManifestFile[];
  #models: Promise<Input[]> | undefined;

  /** Takes the base that the caller gave, and the base files that the manifest names. */
  constructor(bitx: Bitx, folder: Folder, named: ManifestFile[]) {
    this.#bitx = bitx;
    this.#folder = folder;
    this.#named = named;
  }

  /**
   * Returns the base files with these indexes in the manifest: those at the same paths, or else the
   * only ones of the same length. If one is missing, the base may be sharded in another way, and
   * all files with tensors serve.
   */
  async needed(indexes: number[]): Promise<Input[]> {
    const found: Input[] = [];
    for (const index of indexes) {
      const file = await this.#find(this.#named[index] as ManifestFile);
      if (!file) return this.#all(this.#named[index] as ManifestFile);
      found.push(file);
    }
    return found;
  }

  async #find({ path, bytes }: ManifestFile): Promise<Input | undefined> {
    const named = this.#folder.at(path);
    const { files } = this.#folder;
    if (!files || (named && [bytes, undefined].includes(await sizeOf(named)))) return named;
    const inputs = [...files.values()];
    const sizes = await Promise.all(inputs.map(sizeOf));
    const alike = inputs.filter((_, i) => sizes[i] === bytes);
    return alike.length === 1 ? alike[0] : undefined;
  }

  /** Returns all files with tensors, if the file `missing` is not there. */
  async #all(missing: ManifestFile): Promise<Input[]> {
    this.#models ??= this.#withTensors();
    const models = await this.#models;
    if (models.length > 0) return models;
    const { path, bytes, blake3 } = missing;
    const message = `the base lacks the file ${path} of ${bytes} bytes with BLAKE3 ${blake3}`;
    throw new BitxError('base-mismatch', message, { file: 'base' });
  }

  async #withTensors(): Promise<Input[]> {
    const models: Input[] = [];
    for (const file of this.#folder.files?.values() ?? []) {
      // A file that breaks the rules of its layout has no tensors.
      const tensors = await this.#bitx.tensors(file).catch(() => []);
      if (tensors.length > 0) models.push(file);
    }
    return models;
  }
}

/** Returns the length of an input in bytes; undefined if only a request would tell it. */
async function sizeOf(input: Input): Promise<number | undefined> {
  if (typeof input === 'string' || input instanceof URL) return sizeOnDisk(input);
  if (input instanceof Response) return undefined;
  if ('getFile' in input) return (await input.getFile()).size;
  if ('byteLength' in input) return input.byteLength;
  return (input as Blob | RangeSource).size;
}
