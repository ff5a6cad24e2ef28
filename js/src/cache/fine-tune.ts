import { absolute, BitxError, checkOptions } from '../common/index.js';
import type { Bitx } from '../index.js';
import { orAbortError } from './abort.js';
import { ModelCache } from './cache.js';
import { fits, type Integrity, parseIntegrity, requiredDigest } from './integrity.js';
import { type FineTunePlan, planOf } from './plan.js';
import { fetchAndRestore, type Source, sourcesOf } from './restoring.js';
import type { CachedFile, ModelStat } from './types.js';

/** The progress of a {@link loadFineTune} call, in bytes. */
export interface FineTuneProgress {
  /** The step: the download of the delta or of a base, or the restore. */
  phase: 'delta' | 'base' | 'restore';
  loaded: number;
  total: number | undefined;
}

/** Options of {@link loadFineTune} and {@link planFineTune}. */
export interface FineTuneOptions {
  /** The address of the base; for a sharded base, of its files in the order of compression. */
  base: string | URL | (string | URL)[];
  /** The address of the `.bitx` archive. */
  delta: string | URL;
  /**
   * The digests that the files must have, in the form of {@link FetchOptions.integrity}; for a
   * sharded base, one for each file. They are checked however the model comes: downloaded, from the
   * cache or restored.
   */
  integrity?: { base?: string | string[]; delta?: string; model?: string };
  /** The cache for the files. Default: one that all calls without a cache share. */
  cache?: ModelCache;
  /** The instance that restores. Default: one that is created for the call when it is needed. */
  bitx?: Bitx;
  /**
   * Stores the restored model in the cache, where it takes as much space as the base. Default:
   * true.
   */
  store?: boolean;
  /** The headers of every request. */
  headers?: Record<string, string>;
  /** Called when a server answers 401 or 403; returns the URL to continue with. */
  refreshUrl?: (url: string, status: number) => string | URL | Promise<string | URL>;
  /** Aborts the call. Downloaded chunks are kept. */
  signal?: AbortSignal;
  /** Called often during the call. */
  onProgress?: (progress: FineTuneProgress) => void;
}

/** A file to fetch. */
export interface Wanted {
  url: string;
  integrity: string | undefined;
}

/** The files of a call. */
export interface FineTune {
  cache: ModelCache;
  bases: Wanted[];
  delta: Wanted;
  /** The digest that the model must have. */
  required: Integrity | undefined;
  store: boolean;
  options: FineTuneOptions;
}

let sharedCache: Promise<ModelCache> | undefined;

/**
 * Returns what {@link loadFineTune} would do, without downloading anything: which files are cached,
 * how many bytes it would download and save, and if the files fit. The servers are asked for sizes
 * only.
 *
 * Fails with `invalid-argument`, `io`, `aborted` or `start-failed`. A server that does not answer
 * only leaves sizes unknown.
 *
 * @example
 * ```ts
 * const { fetchBytes, savedBytes, fits } = await planFineTune({ base, delta });
 * ```
 */
export async function planFineTune(options: FineTuneOptions): Promise<FineTunePlan> {
  const job = await fineTune('planFineTune', options);
  return planOf(job, await restored(job));
}

/**
 * Returns the fine-tuned model of a delta. It comes from the cache if it was restored before;
 * otherwise it is restored from the base and the delta, which are downloaded unless they are
 * cached. The base stays in the cache for other fine-tunes; the delta is deleted once its model is
 * stored.
 *
 * Fails with the codes of {@link ModelCache.fetch} and of `Bitx.restore`.
 *
 * @example
 * ```ts
 * const model = await loadFineTune({ base: '/base.safetensors', delta: '/fine-tune.bitx' });
 * ```
 */
export function loadFineTune(options: FineTuneOptions & { store: false }): Promise<File>;
export function loadFineTune(options: FineTuneOptions): Promise<CachedFile>;
export async function loadFineTune(options: FineTuneOptions): Promise<File> {
  return orAbortError(options?.signal, () => load(options));
}

async function load(options: FineTuneOptions): Promise<File> {
  const job = await fineTune('loadFineTune', options);
  const found = await restored(job);
  if (found) return found;
  const plan = await planOf(job, undefined);
  const { storeBytes: need, availableBytes: have } = plan;
  if (!plan.fits && need !== undefined && have !== undefined) {
    const message = `The model and its delta and base need ${need} bytes of storage, but the browser grants ${have}`;
    throw new BitxError('quota', message, { need, have });
  }
  // Pages that load the same model at the same time restore it only once.
  const name = `bitx-wasm/fine-tune/${job.delta.url}`;
  const signal = options.signal ?? new AbortController().signal;
  const make = async () => (await restored(job)) ?? fetchAndRestore(job);
  return navigator.locks ? navigator.locks.request(name, { signal }, make) : make();
}

async function fineTune(call: string, options: FineTuneOptions): Promise<FineTune> {
  checkOptions(call, options, 'base delta integrity cache bitx store headers refreshUrl signal onProgress');
  const { base, delta, integrity = {}, store = true } = options;
  checkOptions('integrity', integrity, 'base delta model');
  const urls = [base].flat();
  const digests = integrity.base === undefined ? undefined : [integrity.base].flat();
  if (digests && digests.length !== urls.length) {
    const message = `integrity.base has ${digests.length} digests for ${urls.length} files`;
    throw new BitxError('invalid-argument', message);
  }
  // Each of the digests must be one: a gap would leave its file unchecked.
  const bases = urls.map((url, index) => wanted(url, digests && String(digests[index])));
  return {
    cache: options.cache ?? (await shared()),
    bases,
    delta: wanted(delta, integrity.delta),
    required: integrity.model === undefined ? undefined : requiredDigest(integrity.model),
    store,
    options,
  };
}

function wanted(url: string | URL, integrity: string | undefined): Wanted {
  if (integrity !== undefined) requiredDigest(integrity);
  return { url: absolute(url), integrity };
}

function shared(): Promise<ModelCache> {
  sharedCache ??= ModelCache.open().catch((error: unknown) => {
    sharedCache = undefined;
    throw error;
  });
  return sharedCache;
}

/**
 * Returns the restored model if it is cached. It must have the required digest and come from files
 * with the required digests, or from the same URLs where no digest is required.
 */
async function restored({ cache, bases, delta, required }: FineTune): Promise<CachedFile | undefined> {
  const wanted = [delta, ...bases];
  const madeOfThem = ({ model }: ModelStat) => {
    if (!model || (required && !fits(model, required))) return false;
    const sources = sourcesOf(model);
    return (
      sources.length === wanted.length && sources.every((source, index) => isSame(wanted[index], source))
    );
  };
  const found = (await cache.list()).find(madeOfThem);
  return found && cache.match(found.url);
}

function isSame(file: Wanted | undefined, source: Source): boolean {
  if (file?.integrity === undefined) return source.url === file?.url;
  const digest = parseIntegrity(file.integrity);
  return digest !== undefined && fits(source, digest);
}
