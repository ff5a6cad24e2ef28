import { absolute, BitxError, orAbortError } from '../common/index.js';
import { Bitx } from '../index.js';
import { ModelCache } from './cache.js';
import { fits, parseIntegrity } from './integrity.js';
import { type FineTunePlan, planOf } from './plan.js';
import type { CachedFile, ModelInfo, ModelStat } from './types.js';

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
   * sharded base, one for each file.
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
  store: boolean;
  options: FineTuneOptions;
}

/** The label of a restored model that records the files it was made from. */
const SOURCES = 'bitx-sources';

let sharedCache: Promise<ModelCache> | undefined;

/**
 * Returns what {@link loadFineTune} would do, without downloading anything: which files are cached,
 * how many bytes it would download and save, and if the files fit. The servers are asked for sizes
 * only.
 */
export async function planFineTune(options: FineTuneOptions): Promise<FineTunePlan> {
  const job = await fineTune(options);
  return planOf(job, await restored(job));
}

/**
 * Returns the fine-tuned model of a delta. It comes from the cache if it was restored before;
 * otherwise it is restored from the base and the delta, which are downloaded unless they are
 * cached. The base stays in the cache for other fine-tunes; the delta is deleted once its model is
 * stored.
 *
 * ```ts
 * const model = await loadFineTune({ base: '/base.safetensors', delta: '/fine-tune.bitx' });
 * ```
 */
export function loadFineTune(options: FineTuneOptions & { store: false }): Promise<File>;
export function loadFineTune(options: FineTuneOptions): Promise<CachedFile>;
export async function loadFineTune(options: FineTuneOptions): Promise<File> {
  return orAbortError(options.signal, () => load(options));
}

async function load(options: FineTuneOptions): Promise<File> {
  const job = await fineTune(options);
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

async function fineTune(options: FineTuneOptions): Promise<FineTune> {
  const { base, delta, integrity = {}, store = true } = options;
  const digests = [integrity.base ?? []].flat();
  const bases = [base].flat().map((url, index) => ({ url: absolute(url), integrity: digests[index] }));
  return {
    cache: options.cache ?? (await shared()),
    bases,
    delta: { url: absolute(delta), integrity: integrity.delta },
    store,
    options,
  };
}

function shared(): Promise<ModelCache> {
  sharedCache ??= ModelCache.open().catch((error: unknown) => {
    sharedCache = undefined;
    throw error;
  });
  return sharedCache;
}

/**
 * Returns the restored model if it is cached. It must come from files with the required digests, or
 * from the same URLs where no digest is required.
 */
async function restored({ cache, bases, delta }: FineTune): Promise<CachedFile | undefined> {
  const wanted = [delta, ...bases];
  const madeOfThem = ({ model }: ModelStat) => {
    const sources = model ? sourcesOf(model) : [];
    return (
      sources.length === wanted.length && sources.every((source, index) => isSame(wanted[index], source))
    );
  };
  const found = (await cache.list()).find(madeOfThem);
  return found && cache.match(found.url);
}

/** A file that a model was made from, with the URL by which it was requested. */
type Source = Pick<ModelInfo, 'url' | 'sha256' | 'blake3'>;

function sourcesOf({ labels }: ModelInfo): Source[] {
  return JSON.parse(labels[SOURCES] ?? '[]');
}

function isSame(file: Wanted | undefined, source: Source): boolean {
  if (file?.integrity === undefined) return source.url === file?.url;
  const digest = parseIntegrity(file.integrity);
  return digest !== undefined && fits(source, digest);
}

async function fetchAndRestore(job: FineTune): Promise<File> {
  const { cache, delta, bases, options } = job;
  const { headers = {}, refreshUrl, signal } = options;
  const fetchOne = ({ url, integrity }: Wanted, phase: FineTuneProgress['phase']) =>
    cache.fetch(url, {
      headers,
      onProgress: ({ loaded, total }) => options.onProgress?.({ phase, loaded, total }),
      ...(integrity !== undefined && { integrity }),
      ...(refreshUrl && { refreshUrl }),
      ...(signal && { signal }),
    });
  const bitx = options.bitx ?? (await Bitx.create(signal ? { signal } : {}));
  try {
    // The delta comes first: it is small, and if it is not an archive, the base is not needed.
    const archive = await fetchOne(delta, 'delta');
    const made = await bitx.inspect(archive, signal ? { signal } : {});
    const files: CachedFile[] = [];
    for (const [index, base] of bases.entries()) {
      const against = made.bases[index];
      // The base that the delta was made against may be cached under any URL.
      const here = against && (await cache.findByDigest(`blake3-${against.blake3}`));
      files.push(here ?? (await fetchOne(base, 'base')));
    }
    return await restore(job, bitx, archive, files, made.restoredBytes);
  } finally {
    if (bitx !== options.bitx) bitx.dispose();
  }
}

/** Restores into the cache as a stream, or into a file that is not stored. */
async function restore(
  { cache, delta, bases, store, options }: FineTune,
  bitx: Bitx,
  archive: CachedFile,
  base: CachedFile[],
  size: number,
): Promise<File> {
  const { signal, integrity } = options;
  const onProgress = ({ loaded, total }: Omit<FineTuneProgress, 'phase'>) =>
    options.onProgress?.({ phase: 'restore', loaded, total });
  const inputs = { base, delta: archive, onProgress, ...(signal && { signal }) };
  if (!store) return new File([await bitx.restore(inputs)], nameOf(delta.url));
  const wanted = [delta, ...bases];
  const sources = [archive, ...base].map(({ model: { sha256, blake3, url } }, index) => ({
    url: wanted[index]?.url ?? url,
    sha256,
    blake3,
  }));
  const key = `bitx:restored/${sources.map(({ sha256 }) => sha256).join('/')}`;
  const { readable, writable } = new TransformStream<Uint8Array, Uint8Array>();
  const [model] = await Promise.all([
    cache.put(key, readable, {
      size,
      labels: { [SOURCES]: JSON.stringify(sources) },
      ...(integrity?.model !== undefined && { integrity: integrity.model }),
      ...(signal && { signal }),
    }),
    bitx.restore({ ...inputs, output: writable }),
  ]);
  await cache.delete(archive.model.url);
  return model;
}

function nameOf(url: string): string {
  return new URL(url).pathname.split('/').at(-1) ?? '';
}
