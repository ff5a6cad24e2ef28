import { type CachedFile, loadFineTune, type ModelCache, planFineTune } from '../cache/index.js';
import { availableStorage, sumOf } from '../cache/storage.js';
import { BitxError, type BitxErrorCode } from '../common/index.js';
import { listIn } from './answers.js';
import type { Connection } from './hub.js';
import type {
  HubBase,
  HubFiles,
  HubPlan,
  HubPlannedFile,
  HubPlanOptions,
  HubProgress,
  HubPullOptions,
} from './types.js';

/** A file of a model, as the hub offers it. */
interface Offer {
  path: string;
  length: number;
  blake3: string;
  bases: HubBase[];
}

/** The way to get a file. */
interface Way {
  file: Offer;
  /** The file itself, if it is in the cache. */
  held: CachedFile | undefined;
  /** A base that is in the cache. */
  base: HubBase | undefined;
}

/** The codes of failures that come from wrong bytes of a delta or of its base. */
const WRONG_BYTES: BitxErrorCode[] = ['integrity', 'corrupt', 'truncated', 'format', 'base-mismatch'];

/** Returns the plan of a `pull`. */
export async function planPull(hub: Connection, name: string, options: HubPlanOptions): Promise<HubPlan> {
  const cache = await hub.cache();
  const files: (HubPlannedFile & { roomBytes: number | undefined })[] = [];
  // The files are planned one after another, since the hub may have to make their deltas first.
  for (const way of await survey(hub, cache, name, options))
    files.push(await planned(hub, cache, name, way, options));
  const bytes = sumOf(files.map(({ length }) => length)) ?? 0;
  const fetchBytes = sumOf(files.map((file) => file.fetchBytes));
  const storeBytes = sumOf(files.map(({ roomBytes }) => roomBytes));
  const availableBytes = await availableStorage();
  return {
    name,
    files: files.map(({ roomBytes: _, ...file }) => file),
    bytes,
    fetchBytes,
    savedBytes: fetchBytes === undefined ? undefined : bytes - fetchBytes,
    storeBytes,
    availableBytes,
    fits: storeBytes === undefined || availableBytes === undefined || storeBytes <= availableBytes,
  };
}

/** Gets the files one after another. */
export async function pull(hub: Connection, name: string, options: HubPullOptions): Promise<HubFiles> {
  const cache = await hub.cache();
  const ways = await survey(hub, cache, name, options);
  await requireRoom(cache, hub, name, ways);
  const files: HubFiles = new Map();
  for (const way of ways) files.set(way.file.path, await get(hub, cache, name, way, options));
  return files;
}

/**
 * Asks the hub for the files of a model, tells it the digests of the cached files, and chooses the
 * way to get each file.
 */
async function survey(
  hub: Connection,
  cache: ModelCache,
  name: string,
  { files, signal }: HubPlanOptions,
): Promise<Way[]> {
  const have = (await cache.list()).flatMap(({ model }) => model?.blake3 ?? []);
  const args = { method: 'POST', path: 'api/pull', body: { name, have: [...new Set(have)] } };
  const offers = listIn<Offer>(await hub.call('request', args, signal), 'files');
  const missing = files?.find((path) => !offers.some((file) => file.path === path));
  if (missing !== undefined) {
    throw new BitxError('not-found', `${name} has no file ${missing}`, { file: missing });
  }
  const wanted = offers.filter(({ path }) => files?.includes(path) ?? true);
  return Promise.all(
    wanted.map(async (file) => {
      const held = await cache.findByDigest(integrityOf(file));
      return { file, held, base: held ? undefined : await heldBase(cache, file.bases) };
    }),
  );
}

/** Returns the first base that is in the cache. */
async function heldBase(cache: ModelCache, bases: HubBase[]): Promise<HubBase | undefined> {
  for (const base of bases) if (await cache.findByDigest(integrityOf(base))) return base;
  return undefined;
}

async function planned(
  hub: Connection,
  cache: ModelCache,
  name: string,
  { file, held, base }: Way,
  { signal }: HubPlanOptions,
): Promise<HubPlannedFile & { roomBytes: number | undefined }> {
  const { path, length, blake3 } = file;
  if (held) return { path, length, blake3, from: 'cache', fetchBytes: 0, roomBytes: 0 };
  if (!base) {
    const part = await cache.stat(hub.fileUrl(name, path));
    const stored = part && !part.complete ? part.storedBytes : 0;
    const roomBytes = stored > 0 && cache.backend === 'opfs' ? 0 : length - stored;
    return { path, length, blake3, from: 'file', fetchBytes: length - stored, roomBytes };
  }
  const { delta } = await planFineTune({
    ...fineTune(hub, cache, name, file, base),
    ...(signal && { signal }),
  });
  const { size, storedBytes } = delta;
  const fetchBytes = size === undefined ? undefined : size - storedBytes;
  return {
    path,
    length,
    blake3,
    from: 'delta',
    base,
    fetchBytes,
    roomBytes: sumOf([delta.roomBytes, length]),
  };
}

/** Throws before the first byte if the files do not fit, even without the space for deltas. */
async function requireRoom(cache: ModelCache, hub: Connection, name: string, ways: Way[]): Promise<void> {
  const room = async ({ file, held, base }: Way) => {
    if (held) return 0;
    const part = base ? undefined : await cache.stat(hub.fileUrl(name, file.path));
    return file.length - (part?.storedBytes ?? 0);
  };
  const need = sumOf(await Promise.all(ways.map(room))) ?? 0;
  const have = await availableStorage();
  if (have === undefined || need <= have) return;
  const message = `The files of ${name} need ${need} bytes of storage, but the browser grants ${have}`;
  throw new BitxError('quota', message, { need, have });
}

async function get(
  hub: Connection,
  cache: ModelCache,
  name: string,
  { file, held, base }: Way,
  options: HubPullOptions,
): Promise<CachedFile> {
  if (held) return held;
  if (!base) return fetchWhole(hub, cache, name, file, options);
  // The digest of a delta is not known in advance. A bad delta is removed and fetched once more; if
  // it is still bad, the whole file is fetched.
  for (let tries = 0; tries < 2; tries++) {
    try {
      return await restore(hub, cache, name, file, base, options);
    } catch (error) {
      if (!(error instanceof BitxError) || !(WRONG_BYTES.includes(error.code) || error.status === 404))
        throw error;
    }
  }
  return fetchWhole(hub, cache, name, file, options);
}

async function restore(
  hub: Connection,
  cache: ModelCache,
  name: string,
  file: Offer,
  base: HubBase,
  { signal, onProgress }: HubPullOptions,
): Promise<CachedFile> {
  return loadFineTune({
    ...fineTune(hub, cache, name, file, base),
    bitx: await hub.bitx(),
    onProgress: ({ phase, loaded, total }) =>
      onProgress?.({ phase: phase === 'restore' ? 'restore' : 'download', path: file.path, loaded, total }),
    ...(signal && { signal }),
  });
}

/**
 * Describes a file as a fine-tune of a base. The fragment of the URL distinguishes deltas if the
 * hub gets another file of the same name.
 */
function fineTune(hub: Connection, cache: ModelCache, name: string, file: Offer, base: HubBase) {
  return {
    base: hub.fileUrl(base.model, base.path),
    delta: `${hub.fileUrl(name, file.path)}?base=${base.blake3}#${file.blake3}`,
    integrity: { base: integrityOf(base), model: integrityOf(file) },
    headers: hub.headers,
    cache,
  };
}

/** Fetches a whole file, and once more if its bytes were changed on the way. */
async function fetchWhole(
  hub: Connection,
  cache: ModelCache,
  name: string,
  file: Offer,
  { signal, onProgress }: HubPullOptions,
): Promise<CachedFile> {
  const report = ({ loaded, total }: Pick<HubProgress, 'loaded' | 'total'>) =>
    onProgress?.({ phase: 'download', path: file.path, loaded, total });
  const fetchIt = () =>
    cache.fetch(hub.fileUrl(name, file.path), {
      integrity: integrityOf(file),
      headers: hub.headers,
      onProgress: report,
      ...(signal && { signal }),
    });
  return fetchIt().catch((error: unknown) => {
    if (error instanceof BitxError && error.code === 'integrity') return fetchIt();
    throw error;
  });
}

/** Returns the digest of a file in the form that the cache takes. */
export function integrityOf({ blake3 }: { blake3: string }): string {
  return `blake3-${blake3}`;
}
