import {
  absolute,
  BitxError,
  checkChoice,
  checkOptions,
  checkWhole,
  DISPOSE,
  TRANSFERS,
} from '../common/index.js';
import { Client } from './client.js';
import { crossOriginStorage, share, sharedFile } from './cross-origin.js';
import type { Digests } from './integrity.js';
import type { Found, Settings } from './messages.js';
import { DEFAULT_BACKEND, received, type Started, startPeer } from './peer.js';
import { checkTransfers } from './transfers.js';
import type {
  Backend,
  CacheCallOptions,
  CachedFile,
  CacheOptions,
  FetchOptions,
  ModelStat,
  PutOptions,
  Verdict,
} from './types.js';

const BACKENDS: Backend[] = ['opfs', 'cache-storage', 'memory'];
/** The names of the options of the calls that have several. */
const NAMES = {
  open: 'name backend chunkSize connections retries retryDelay stallTimeout persist crossOrigin workerUrl directory',
  fetch: 'integrity headers refreshUrl signal onProgress',
  put: 'integrity size labels signal onProgress',
};

/**
 * Keeps models, so that a page need not download them again after a reload or a crash.
 *
 * ```ts
 * const cache = await ModelCache.open();
 * const model = await cache.fetch('/models/base.safetensors', { integrity: 'sha256-…' });
 * ```
 *
 * Files are downloaded in chunks, several at a time. Each chunk is recorded once it is stored, so
 * that an interrupted download continues where it stopped. A file becomes visible once all of it is
 * stored and checked. Cached files are never revalidated: treat a URL as immutable. To get another
 * version, `delete` the file or give its digest.
 */
export class ModelCache {
  readonly #client: Client;
  readonly #crossOrigin: boolean;
  #persist: boolean;

  /**
   * Opens a cache in the origin private file system, or else in the best place that this browser
   * has.
   *
   * Fails with `start-failed`, `unsupported`, `invalid-argument` or `io`.
   *
   * @example
   * ```ts
   * using cache = await ModelCache.open({ name: 'models' });
   * ```
   */
  static async open(options: CacheOptions = {}): Promise<ModelCache> {
    return ModelCache.connect(options, startPeer);
  }

  /**
   * Opens a cache with any peer in the place of the worker.
   *
   * @hidden
   */
  protected static async connect(
    options: CacheOptions,
    start: (options: CacheOptions) => Started,
  ): Promise<ModelCache> {
    checkOptions('open', options, NAMES.open);
    if (options.backend !== undefined) checkChoice('backend', options.backend, BACKENDS);
    const client = await Client.open(settingsOf(options), start(options));
    return new ModelCache(client, options);
  }

  /** @hidden */
  protected constructor(client: Client, { persist = true, crossOrigin = true }: CacheOptions) {
    this.#client = client;
    this.#persist = persist;
    this.#crossOrigin = crossOrigin;
  }

  /** The place where the models are stored. In `memory`, they last as long as this object. */
  get backend(): Backend {
    return this.#client.backend;
  }

  /**
   * Returns the file of a URL, and downloads it unless it is cached. Tabs that request the same
   * file share one download, which continues if one of them aborts.
   *
   * Fails with `integrity`, `format`, `network`, `changed`, `invalid-argument`, `io`, `quota`,
   * `locked`, `aborted` or `disposed`.
   *
   * @example
   * ```ts
   * const base = await cache.fetch('/models/base.safetensors', { integrity: 'sha256-…' });
   * ```
   */
  async fetch(url: string | URL, options: FetchOptions = {}): Promise<CachedFile> {
    checkOptions('fetch', options, NAMES.fetch);
    await this.#askToPersist();
    const storage = this.#crossOrigin ? crossOriginStorage() : undefined;
    const held = storage && (await this.#held(url, options.integrity));
    if (!storage || held) return this.#download(url, options);
    const shared = await sharedFile(storage, options.integrity, options.signal);
    const stored = shared && (await this.#adopt(url, shared, options));
    if (stored) return stored;
    const file = await this.#download(url, options);
    // A file that needed credentials is not for other sites.
    if (!options.headers && !options.refreshUrl) void share(storage, file);
    return file;
  }

  async #download(url: string | URL, options: FetchOptions): Promise<CachedFile> {
    const { integrity, headers = {}, refreshUrl, signal, onProgress } = options;
    const args = { url: absolute(url), integrity, headers, refreshes: refreshUrl !== undefined };
    return fileOf(await this.#client.call('fetch', args, { signal, onProgress, refreshUrl }));
  }

  /** Returns the stored file that `fetch` would return without a download. */
  #held(url: string | URL, integrity: string | undefined): Promise<CachedFile | undefined> {
    return integrity === undefined ? this.match(url) : this.findByDigest(integrity);
  }

  /** Stores a file that another site has shared, unless it turns out to be another one. */
  async #adopt(url: string | URL, shared: File, options: FetchOptions): Promise<CachedFile | undefined> {
    const { integrity, signal, onProgress } = options;
    const rest = {
      ...(integrity && { integrity }),
      ...(signal && { signal }),
      ...(onProgress && { onProgress }),
    };
    return this.put(url, shared, rest).catch((error: unknown) => {
      const wrong = error instanceof BitxError && ['integrity', 'io'].includes(error.code);
      if (!wrong) throw error;
      return undefined;
    });
  }

  /**
   * Stores a file under a URL without downloading it, such as `bitx:my-model`. A stream is read
   * once.
   *
   * Fails with `integrity`, `truncated`, `invalid-argument`, `io`, `quota`, `locked`, `aborted` or
   * `disposed`.
   *
   * @example
   * ```ts
   * const model = await cache.put('bitx:mine', blob);
   * ```
   */
  async put(
    url: string | URL,
    source: Blob | ReadableStream<Uint8Array>,
    options: PutOptions = {},
  ): Promise<CachedFile> {
    checkOptions('put', options, NAMES.put);
    checkWhole(options, 'size');
    const { integrity, size, labels = {}, signal, onProgress } = options;
    await this.#askToPersist();
    const [blob, stream] = source instanceof Blob ? [source, undefined] : [undefined, source];
    const args = { url: absolute(url), blob, size, integrity, labels };
    return fileOf(await this.#client.call('put', args, { signal, onProgress, stream }));
  }

  /**
   * Returns the file stored under a URL if all of it is cached, and downloads nothing.
   *
   * Fails with `io` or `disposed`.
   *
   * @example
   * ```ts
   * const file = await cache.match('/models/base.safetensors');
   * ```
   */
  async match(url: string | URL): Promise<CachedFile | undefined> {
    const found = await this.#client.call('match', { url: absolute(url) });
    return found && fileOf(found);
  }

  /**
   * Returns a file with a digest, whatever its URL. The form of the digest is that of
   * {@link FetchOptions.integrity}.
   *
   * Fails with `invalid-argument`, `io` or `disposed`.
   *
   * @example
   * ```ts
   * const file = await cache.findByDigest('sha256-…');
   * ```
   */
  async findByDigest(digest: string): Promise<CachedFile | undefined> {
    const found = await this.#client.call('find', { digest });
    return found && fileOf(found);
  }

  /**
   * Returns `true` if all of the file is in the cache.
   *
   * Fails with `io` or `disposed`.
   *
   * @example
   * ```ts
   * if (await cache.has('/models/base.safetensors')) showAsCached();
   * ```
   */
  async has(url: string | URL): Promise<boolean> {
    return (await this.stat(url))?.complete ?? false;
  }

  /**
   * Returns the entry of a file, or `undefined` if nothing of it is in the cache.
   *
   * Fails with `io` or `disposed`.
   *
   * @example
   * ```ts
   * const { storedBytes, size } = (await cache.stat(url)) ?? {};
   * ```
   */
  stat(url: string | URL): Promise<ModelStat | undefined> {
    return this.#client.call('stat', { url: absolute(url) });
  }

  /**
   * Returns the entries of all files, complete or not.
   *
   * Fails with `io` or `disposed`.
   *
   * @example
   * ```ts
   * for (const { url, complete } of await cache.list()) console.log(url, complete);
   * ```
   */
  list(): Promise<ModelStat[]> {
    return this.#client.call('list', {});
  }

  /**
   * Returns the digests of a file that is not in the cache.
   *
   * @hidden
   */
  digestsOf(blob: Blob, options: { signal?: AbortSignal | undefined } = {}): Promise<Digests> {
    return this.#client.call('digest', { blob }, { signal: options.signal });
  }

  /**
   * Reads a file and checks every chunk. If a chunk is wrong, the file becomes incomplete, and the
   * next `fetch` repairs it.
   *
   * Fails with `invalid-argument` for a file that is not cached, `io`, `quota`, `locked`, `aborted`
   * or `disposed`.
   *
   * @example
   * ```ts
   * const { ok, badChunks } = await cache.verify('/models/base.safetensors');
   * ```
   */
  async verify(url: string | URL, options: CacheCallOptions = {}): Promise<Verdict> {
    checkOptions('verify', options, 'signal onProgress');
    const { signal, onProgress } = options;
    return this.#client.call('verify', { url: absolute(url) }, { signal, onProgress });
  }

  /**
   * Removes a file, complete or not, and returns `true` if there was one. Waits for a download of
   * the file to end.
   *
   * Fails with `invalid-argument`, `io`, `locked`, `aborted` or `disposed`.
   *
   * @example
   * ```ts
   * await cache.delete('/models/base.safetensors');
   * ```
   */
  async delete(url: string | URL, options: { signal?: AbortSignal } = {}): Promise<boolean> {
    checkOptions('delete', options, 'signal');
    const { signal } = options;
    return this.#client.call('delete', { url: absolute(url) }, { signal });
  }

  /**
   * Ends the worker. Pending calls reject with `disposed`; the chunks that they downloaded are
   * kept. `using cache = await ModelCache.open()` closes the cache at the end of the block.
   *
   * @example
   * ```ts
   * cache.close();
   * ```
   */
  close(): void {
    this.#client.end(new BitxError('disposed', 'This ModelCache was closed'));
  }

  /** @hidden */
  [DISPOSE](): void {
    this.close();
  }

  /**
   * Asks the browser not to evict the models. Some browsers ask the user, so this happens only
   * once, when there is something to store.
   */
  async #askToPersist(): Promise<void> {
    const { storage } = navigator;
    if (!this.#persist || this.backend === 'memory' || !storage?.persist) return;
    this.#persist = false;
    // Nothing waits for the answer: it may take the user minutes, and a refusal changes nothing.
    if (!(await storage.persisted())) storage.persist().catch(() => {});
  }
}

function settingsOf(options: CacheOptions): Settings {
  const settings: Settings = {
    name: options.name ?? 'models',
    backend: options.backend ?? DEFAULT_BACKEND,
    chunkSize: options.chunkSize ?? 8 << 20,
    connections: options.connections ?? 3,
    retries: options.retries ?? TRANSFERS.retries,
    retryDelay: options.retryDelay ?? TRANSFERS.retryDelay,
    stallTimeout: options.stallTimeout ?? TRANSFERS.stallTimeout,
  };
  checkWhole(settings, 'chunkSize connections', 1);
  checkTransfers(settings);
  return settings;
}

function fileOf({ file, model, handle }: Found): CachedFile {
  return Object.defineProperties(received(file), {
    model: { value: model, enumerable: true },
    // The handles of Node do not reach the page.
    ...(handle && 'getFile' in handle && { handle: { value: handle } }),
  }) as CachedFile;
}
