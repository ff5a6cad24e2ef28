import { declaredLength, Remote, TRANSFERS, Transfer } from '../common/index.js';
import type { ModelCache } from './cache.js';
import type { FineTune, Wanted } from './fine-tune.js';
import { availableStorage, sumOf } from './storage.js';
import type { CachedFile } from './types.js';

/** A file that {@link loadFineTune} reads. */
export interface PlannedFile {
  url: string;
  /** `true` if all of the file is in the cache. */
  cached: boolean;
  /** Size in bytes; undefined if the server does not tell it. */
  size: number | undefined;
  /** Bytes that are in the cache. */
  storedBytes: number;
  /**
   * Bytes of storage that the file still needs. An incomplete file may have reserved all of its
   * space.
   */
  roomBytes: number | undefined;
}

/**
 * The plan of a {@link loadFineTune} call. Sums are `undefined` if a server did not tell a size.
 */
export interface FineTunePlan {
  base: PlannedFile[];
  delta: PlannedFile;
  /** The restored model. Until it is cached, its size is assumed to be that of its base. */
  model: { cached: boolean; size: number | undefined };
  /** Bytes to download. */
  fetchBytes: number | undefined;
  /**
   * Bytes saved, compared with a download of the fine-tuned model itself; negative if the call
   * downloads more.
   */
  savedBytes: number | undefined;
  /** Bytes of storage that the call needs in total. */
  storeBytes: number | undefined;
  /** Bytes of storage that the browser grants, if it reports them. */
  availableBytes: number | undefined;
  /** `true` if the files fit, as far as is known. */
  fits: boolean;
}

/** Plans a call; `model` is the model if it was restored before. */
export async function planOf(job: FineTune, model: CachedFile | undefined): Promise<FineTunePlan> {
  const [delta, ...base] = (await Promise.all(
    [job.delta, ...job.bases].map((file) => planned(job, file, model !== undefined)),
  )) as [PlannedFile, ...PlannedFile[]];
  const size = model?.size ?? sumOf(base.map(({ size }) => size));
  const fetchBytes = model ? 0 : sumOf([delta, ...base].map(missing));
  const storeBytes = model
    ? 0
    : sumOf([...[delta, ...base].map(({ roomBytes }) => roomBytes), job.store ? size : 0]);
  const availableBytes = await availableStorage();
  return {
    base,
    delta,
    model: { cached: model !== undefined, size },
    fetchBytes,
    savedBytes: size === undefined || fetchBytes === undefined ? undefined : size - fetchBytes,
    storeBytes,
    availableBytes,
    fits: storeBytes === undefined || availableBytes === undefined || storeBytes <= availableBytes,
  };
}

/**
 * Returns the cached part of a file and its size. The server is not asked for the size if nothing
 * will be downloaded.
 */
async function planned(job: FineTune, file: Wanted, needless: boolean): Promise<PlannedFile> {
  const { cache } = job;
  const { url } = file;
  const found = await here(cache, file);
  if (found) return { url, cached: true, size: found.size, storedBytes: found.size, roomBytes: 0 };
  const part = await cache.stat(url);
  const stored = part && !part.complete ? part.storedBytes : 0;
  const reserved = stored > 0 && cache.backend === 'opfs';
  const size = part?.size ?? (needless ? undefined : await sizeOf(url, job.options));
  const roomBytes = reserved ? 0 : size === undefined ? undefined : size - stored;
  return { url, cached: false, size, storedBytes: stored, roomBytes };
}

/** Returns the cached file with the required digest or, if no digest is required, with the URL. */
export function here(cache: ModelCache, { url, integrity }: Wanted): Promise<CachedFile | undefined> {
  return integrity === undefined ? cache.match(url) : cache.findByDigest(integrity);
}

/**
 * Asks a server for the size of a file. Servers that do not answer to HEAD are asked for one byte.
 */
async function sizeOf(url: string, options: FineTune['options']): Promise<number | undefined> {
  const { headers = {}, signal = new AbortController().signal } = options;
  const init = { headers, signal, ...TRANSFERS };
  const head = await Transfer.start(url, { ...init, method: 'HEAD' }).catch(() => undefined);
  head?.end();
  const size = head?.response.ok ? declaredLength(head.response.headers) : undefined;
  if (size !== undefined) return size;
  const answer = await new Remote({ url, ...init }).range(0, 1).catch(() => undefined);
  answer?.transfer.end();
  return answer?.size;
}

function missing({ size, storedBytes }: PlannedFile): number | undefined {
  return size === undefined ? undefined : size - storedBytes;
}
