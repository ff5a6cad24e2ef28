import { orAbortError } from '../cache/abort.js';
import { ModelCache } from '../cache/index.js';
import { checkTransfers } from '../cache/transfers.js';
import {
  absolute,
  BitxError,
  checkChoice,
  checkOptions,
  checkWhole,
  DISPOSE,
  requireWorkers,
  TRANSFERS,
} from '../common/index.js';
import { Bitx, type Effort } from '../index.js';
import { listIn } from './answers.js';
import { Client } from './client.js';
import { Lazy } from './lazy.js';
import type { Operation, Operations, Settings } from './messages.js';
import { planPull, pull } from './pull.js';
import { Pushes } from './push.js';
import type {
  HubCallOptions,
  HubFiles,
  HubModel,
  HubOptions,
  HubPlan,
  HubPlanOptions,
  HubPullOptions,
  HubPushFile,
  HubPushOptions,
  HubPushPlan,
  HubPushPlanOptions,
  HubPushResult,
} from './types.js';

/** The choices of the option `effort`. */
const EFFORTS: Effort[] = ['fast', 'default', 'max'];

/** The services that the parts of a hub's client share. */
export interface Connection {
  /** The headers of requests for files. */
  headers: Record<string, string>;
  cache(): Promise<ModelCache>;
  bitx(): Promise<Bitx>;
  call<O extends Operation>(
    operation: O,
    args: Operations[O]['args'],
    signal?: AbortSignal,
    onProgress?: (loaded: number) => void,
  ): Promise<Operations[O]['result']>;
  /** Returns the URL of a file of a model. */
  fileUrl(model: string, path: string): string;
  /** Returns the files of a model: the BLAKE3 in hex by path. */
  filesOf(model: string, signal: AbortSignal | undefined): Promise<Map<string, string>>;
}

/**
 * Downloads models from a `bitx serve`, and publishes models there, as deltas if a base is
 * available.
 *
 * ```ts
 * const hub = new BitxHub({ url: 'https://hub.example/' });
 * const files = await hub.pull('org/fine-tune');
 * const model = files.get('model.safetensors');
 * ```
 *
 * Workers and the cache are started when they are first needed. Downloaded files are stored in a
 * {@link ModelCache}, and each is checked against its BLAKE3.
 */
export class BitxHub {
  readonly #connection: Connection;
  readonly #pushes: Pushes;
  readonly #client: Lazy<Client>;
  readonly #cache = new Lazy(() => ModelCache.open());
  readonly #bitx = new Lazy(() => Bitx.create());

  constructor(options: HubOptions) {
    requireWorkers('BitxHub');
    checkOptions(
      'BitxHub',
      options,
      'url token cache bitx retries retryDelay stallTimeout partSize workerUrl',
    );
    const settings = settingsOf(options);
    const { url, token } = settings;
    // After a fault of the worker, the next call starts a new one.
    this.#client = new Lazy(
      () => Client.start(settings, options.workerUrl),
      (client) => !client.ended,
    );
    this.#connection = {
      headers: token === undefined ? {} : { authorization: `Bearer ${token}` },
      cache: async () => options.cache ?? this.#cache.get(),
      bitx: async () => options.bitx ?? this.#bitx.get(),
      call: (...args) => this.#call(...args),
      filesOf: (model, signal) => this.#filesOf(model, signal),
      fileUrl: (model, path) => `${url}models/${encodePath(model)}/files/${encodePath(path)}`,
    };
    this.#pushes = new Pushes(this.#connection);
  }

  /**
   * Lists the models that the token may read.
   *
   * Fails with `network`, `unauthorized`, `forbidden`, `not-found`, `invalid-argument`, `aborted`
   * or `disposed`.
   *
   * @example
   * ```ts
   * for (const { name, bytes } of await hub.list()) console.log(name, bytes);
   * ```
   */
  async list(options: HubCallOptions = {}): Promise<HubModel[]> {
    const args = { method: 'GET', path: 'api/models' };
    const { signal } = options;
    return checked('list', options, 'signal', async () =>
      listIn<HubModel>(await this.#call('request', args, signal)),
    );
  }

  /**
   * Returns what {@link BitxHub.pull} would do, without downloading anything: which files are
   * cached, how many bytes it would download and save, and if the files fit. The hub learns the
   * digests of the files in the cache.
   *
   * Fails with `network`, `unauthorized`, `forbidden`, `not-found`, `invalid-argument`, `aborted`
   * or `disposed`.
   *
   * @example
   * ```ts
   * const { fetchBytes, savedBytes } = await hub.plan('org/fine-tune');
   * ```
   */
  async plan(name: string, options: HubPlanOptions = {}): Promise<HubPlan> {
    return checked('plan', options, 'files signal', () => planPull(this.#connection, name, options));
  }

  /**
   * Gets the files of a model, each in the way that downloads least: from the cache, restored from
   * a cached base and a delta, or whole. The files stay in the cache.
   *
   * Fails with `integrity`, `quota`, `io`, `network`, `unauthorized`, `forbidden`, `not-found`,
   * `invalid-argument`, `aborted` or `disposed`.
   *
   * @example
   * ```ts
   * const files = await hub.pull('org/fine-tune', { files: ['model.safetensors'] });
   * ```
   */
  async pull(name: string, options: HubPullOptions = {}): Promise<HubFiles> {
    return checked('pull', options, 'files signal onProgress', () => pull(this.#connection, name, options));
  }

  /**
   * Returns what the hub already has of a model and which of its files fit as bases, without
   * uploading anything.
   *
   * Fails with `conflict`, `limit`, `io`, `network`, `unauthorized`, `forbidden`, `not-found`,
   * `invalid-argument`, `aborted` or `disposed`.
   *
   * @example
   * ```ts
   * const { files } = await hub.planPush('org/mine', { 'model.safetensors': file });
   * ```
   */
  async planPush(
    name: string,
    files: Record<string, HubPushFile>,
    options: HubPushPlanOptions = {},
  ): Promise<HubPushPlan> {
    return checked('planPush', options, 'base signal onProgress', () =>
      this.#pushes.plan(name, files, options),
    );
  }

  /**
   * Publishes a model, given as its files by path. Files that the hub has are not sent. The others
   * are sent as deltas against the best base that is available. After an abort or a failure, the
   * same call continues where the last one stopped.
   *
   * Fails with `conflict`, `integrity`, `limit`, `io`, `network`, `unauthorized`, `forbidden`,
   * `not-found`, `invalid-argument`, `aborted` or `disposed`.
   *
   * @example
   * ```ts
   * const { sentBytes } = await hub.push('org/mine', { 'model.safetensors': file });
   * ```
   */
  async push(
    name: string,
    files: Record<string, HubPushFile>,
    options: HubPushOptions = {},
  ): Promise<HubPushResult> {
    return checked('push', options, 'base effort signal onProgress', async () => {
      if (options.effort !== undefined) checkChoice('effort', options.effort, EFFORTS);
      return this.#pushes.push(name, files, options);
    });
  }

  /**
   * Ends the workers that were started. Pending calls reject with `disposed`. `using` does so at
   * the end of the block.
   *
   * @example
   * ```ts
   * hub.close();
   * ```
   */
  close(): void {
    const error = new BitxError('disposed', 'This BitxHub was closed');
    this.#client.end(error, (client) => client.end(error));
    this.#cache.end(error, (cache) => cache.close());
    this.#bitx.end(error, (bitx) => bitx.dispose());
  }

  /** @hidden */
  [DISPOSE](): void {
    this.close();
  }

  async #call<O extends Operation>(
    operation: O,
    args: Operations[O]['args'],
    signal?: AbortSignal,
    onProgress?: (loaded: number) => void,
  ): Promise<Operations[O]['result']> {
    return (await this.#client.get()).call(operation, args, { signal, onProgress });
  }

  async #filesOf(model: string, signal: AbortSignal | undefined): Promise<Map<string, string>> {
    const args = { method: 'GET', path: `api/models/${encodePath(model)}` };
    const answer = await this.#call('request', args, signal);
    const files = listIn<{ path: string; blake3: string }>(answer, 'files');
    return new Map(files.map(({ path, blake3 }) => [path, blake3]));
  }
}

function settingsOf(options: HubOptions): Settings {
  const settings = {
    url: absolute(options.url).replace(/\/?$/, '/'),
    token: options.token,
    retries: options.retries ?? TRANSFERS.retries,
    retryDelay: options.retryDelay ?? TRANSFERS.retryDelay,
    stallTimeout: options.stallTimeout ?? TRANSFERS.stallTimeout,
    partSize: options.partSize ?? 8 << 20,
  };
  checkWhole(settings, 'partSize', 1);
  checkTransfers(settings);
  return settings;
}

/** Encodes a path as part of a URL, with its slashes. */
function encodePath(path: string): string {
  return path.split('/').map(encodeURIComponent).join('/');
}

/** Runs a call, unless it has an unknown option or its signal is aborted already. */
function checked<T>(
  call: string,
  options: HubCallOptions,
  names: string,
  action: () => Promise<T>,
): Promise<T> {
  return orAbortError(options?.signal, async () => {
    checkOptions(call, options, names);
    options.signal?.throwIfAborted();
    return action();
  });
}
