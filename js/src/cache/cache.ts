import { absolute, BitxError, type Peer } from '../common/index.js';
import { Client } from './client.js';
import type { Found, Settings } from './messages.js';
import { DEFAULT_BACKEND, received, startPeer } from './peer.js';
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

/**
 * Keeps models where the page can read them again after a reload, a crash or a week.
 *
 * ```ts
 * const cache = await ModelCache.open();
 * const model = await cache.fetch('/models/base.safetensors', { integrity: 'sha256-…' });
 * ```
 *
 * Files are downloaded in chunks, several at a time. Each chunk is recorded once it is stored, so that a download goes
 * on where it was, whatever has ended it; and a file appears only when all of it is there and has been checked. An
 * address stands for one file for ever: to get another version, `delete` it or give its digest.
 */
export class ModelCache {
  readonly #client: Client;
  #persist: boolean;

  /** Opens a cache: in the origin's file system, or the best place that this browser has instead. */
  static async open(options: CacheOptions = {}): Promise<ModelCache> {
    return ModelCache.connect(options, startPeer);
  }

  /**
   * Opens a cache on whatever does the worker's part.
   *
   * @hidden
   */
  protected static async connect(
    options: CacheOptions,
    start: (options: CacheOptions) => Peer,
  ): Promise<ModelCache> {
    const client = await Client.open(settingsOf(options), start(options));
    return new ModelCache(client, options.persist ?? true);
  }

  /** @hidden */
  protected constructor(client: Client, persist: boolean) {
    this.#client = client;
    this.#persist = persist;
  }

  /** The place of the models. In `memory` they last as long as this object. */
  get backend(): Backend {
    return this.#client.backend;
  }

  /**
   * The file behind a URL, downloaded unless it is here already. Tabs that ask for the same file share one download,
   * which goes on when one of them gives up.
   */
  async fetch(url: string | URL, options: FetchOptions = {}): Promise<CachedFile> {
    const { integrity, headers = {}, refreshUrl, signal, onProgress } = options;
    await this.#askToPersist();
    const args = { url: absolute(url), integrity, headers, refreshes: refreshUrl !== undefined };
    return fileOf(await this.#client.call('fetch', args, { signal, onProgress, refreshUrl }));
  }

  /** Stores a file that does not come from a URL under one, such as `bitx:my-model`. A stream is read once. */
  async put(
    url: string | URL,
    source: Blob | ReadableStream<Uint8Array>,
    options: PutOptions = {},
  ): Promise<CachedFile> {
    const { integrity, size, labels = {}, signal, onProgress } = options;
    await this.#askToPersist();
    const [blob, stream] = source instanceof Blob ? [source, undefined] : [undefined, source];
    const args = { url: absolute(url), blob, size, integrity, labels };
    return fileOf(await this.#client.call('put', args, { signal, onProgress, stream }));
  }

  /** The file stored under a URL, if all of it is here; nothing is downloaded. */
  async match(url: string | URL): Promise<CachedFile | undefined> {
    const found = await this.#client.call('match', { url: absolute(url) });
    return found && fileOf(found);
  }

  /** A file of this content, whatever its URL; the digest is written as in {@link FetchOptions.integrity}. */
  async findByDigest(digest: string): Promise<CachedFile | undefined> {
    const found = await this.#client.call('find', { digest });
    return found && fileOf(found);
  }

  /** Returns `true` if all of the file is in the cache. */
  async has(url: string | URL): Promise<boolean> {
    return (await this.stat(url))?.complete ?? false;
  }

  /** Returns the entry of a file, or `undefined` if nothing of it is in the cache. */
  stat(url: string | URL): Promise<ModelStat | undefined> {
    return this.#client.call('stat', { url: absolute(url) });
  }

  /** All files, whole or not. */
  list(): Promise<ModelStat[]> {
    return this.#client.call('list', {});
  }

  /** Reads a file and checks every chunk. If any is wrong, the file is no longer whole, and `fetch` repairs it. */
  verify(url: string | URL, { signal, onProgress }: CacheCallOptions = {}): Promise<Verdict> {
    return this.#client.call('verify', { url: absolute(url) }, { signal, onProgress });
  }

  /** Removes a file, or what is there of it, and tells whether there was anything. Waits for a download to end. */
  delete(url: string | URL, { signal }: { signal?: AbortSignal } = {}): Promise<boolean> {
    return this.#client.call('delete', { url: absolute(url) }, { signal });
  }

  /** Ends the worker. Calls that are pending reject with `disposed`; what they have downloaded is kept. */
  close(): void {
    this.#client.end(new BitxError('disposed', 'This ModelCache was closed'));
  }

  /** Some browsers ask the user, so this happens once, when there is something to keep. */
  async #askToPersist(): Promise<void> {
    const { storage } = navigator;
    if (!this.#persist || this.backend === 'memory' || !storage?.persist) return;
    this.#persist = false;
    // An answer may take the user minutes, and a refusal changes nothing.
    if (!(await storage.persisted())) storage.persist().catch(() => {});
  }
}

function settingsOf(options: CacheOptions): Settings {
  const settings: Settings = {
    name: options.name ?? 'models',
    backend: options.backend ?? DEFAULT_BACKEND,
    chunkSize: options.chunkSize ?? 8 << 20,
    connections: options.connections ?? 3,
    retries: options.retries ?? 6,
    retryDelay: options.retryDelay ?? 500,
    stallTimeout: options.stallTimeout ?? 30_000,
  };
  for (const key of ['chunkSize', 'connections'] as const) {
    const value = settings[key];
    if (!Number.isSafeInteger(value) || value < 1) {
      throw new BitxError('invalid-argument', `${key} must be a whole number from 1 on, not ${value}`);
    }
  }
  return settings;
}

function fileOf({ file, model }: Found): CachedFile {
  return Object.defineProperty(received(file), 'model', { value: model, enumerable: true }) as CachedFile;
}
