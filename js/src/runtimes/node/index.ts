/// <reference types="node" />
/**
 * The codec in Node, where an output may also be a path.
 *
 * @module bitx-wasm (Node)
 */
import { fileURLToPath } from 'node:url';
import { Bitx as AnyBitx } from '../../codec/bitx.js';
import type {
  CompressOptions as AnyCompressOptions,
  MergeOptions as AnyMergeOptions,
  Output as AnyOutput,
  RestoreOptions as AnyRestoreOptions,
  CreateOptions,
} from '../../codec/types.js';
import { absolute, BitxError } from '../../common/index.js';
import { WholeFile } from './whole-file.js';

export type {
  ArchiveInfo,
  BitxStream,
  CallOptions,
  CreateOptions,
  Effort,
  Format,
  Input,
  MergeStats,
  Mode,
  Progress,
  RangeSource,
  ReadTensorOptions,
  Stats,
  TensorInfo,
  TensorPlace,
  WasmUrls,
} from '../../codec/types.js';
export { BitxError, type BitxErrorCode, type BitxErrorFigures } from '../../common/index.js';

/**
 * A destination for the result in place of a Blob. A string is a path, resolved against the working
 * directory, or a `file:` URL. The file appears under its name when it is complete; if the call
 * fails, nothing appears and an old file stays.
 */
export type Output = AnyOutput | string | URL;

/** Options of the operations that write a file. */
export type WriteOptions = Omit<AnyRestoreOptions, 'output' | 'base' | 'delta' | 'maxOutput'> & {
  /** The destination of the output. Default: the call resolves to a Blob. */
  output?: Output;
};
/** Options of {@link Bitx.restore}. */
export type RestoreOptions = Omit<AnyRestoreOptions, 'output'> & Pick<WriteOptions, 'output'>;
/** Options of {@link Bitx.compress}. */
export type CompressOptions = Omit<AnyCompressOptions, 'output'> & Pick<WriteOptions, 'output'>;
/** Options of {@link Bitx.merge}. */
export type MergeOptions = Omit<AnyMergeOptions, 'output'> & Pick<WriteOptions, 'output'>;

/** Restores, makes and inspects `.bitx` archives in a thread of its own. */
export class Bitx extends AnyBitx {
  declare static create: (options?: CreateOptions) => Promise<Bitx>;

  override restore(options: RestoreOptions & { output: Output }): Promise<undefined>;
  override restore(options: RestoreOptions & { output?: undefined }): Promise<Blob>;
  override restore(options: RestoreOptions): Promise<Blob | undefined>;
  override async restore(options: RestoreOptions): Promise<Blob | undefined> {
    return toPlace(options, (rest: AnyRestoreOptions) => super.restore(rest));
  }

  override compress(options: CompressOptions & { output: Output }): Promise<undefined>;
  override compress(options: CompressOptions & { output?: undefined }): Promise<Blob>;
  override compress(options: CompressOptions): Promise<Blob | undefined>;
  override async compress(options: CompressOptions): Promise<Blob | undefined> {
    return toPlace(options, (rest: AnyCompressOptions) => super.compress(rest));
  }

  override merge(options: MergeOptions & { output: Output }): Promise<undefined>;
  override merge(options: MergeOptions & { output?: undefined }): Promise<Blob>;
  override merge(options: MergeOptions): Promise<Blob | undefined>;
  override async merge(options: MergeOptions): Promise<Blob | undefined> {
    return toPlace(options, (rest: AnyMergeOptions) => super.merge(rest));
  }
}

/** Runs a call whose output may be a path. */
async function toPlace<O extends { output?: AnyOutput }>(
  options: Omit<O, 'output'> & { output?: Output },
  call: (options: O) => Promise<Blob | undefined>,
): Promise<Blob | undefined> {
  const output = options?.output;
  if (typeof output !== 'string' && !(output instanceof URL)) return call(options as unknown as O);
  const file = await WholeFile.create(pathOf(output));
  try {
    return await call({ ...options, output: file.stream() } as unknown as O);
  } catch (error) {
    await file.discard();
    throw error;
  }
}

function pathOf(output: string | URL): string {
  const address = absolute(output);
  if (output !== '' && address.startsWith('file:')) return fileURLToPath(address);
  throw new BitxError('invalid-argument', `output must be a path or a file: URL, not "${output}"`);
}
