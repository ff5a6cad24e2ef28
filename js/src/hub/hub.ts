import { ModelCache } from '../cache/index.js';
import { absolute, BitxError, orAbortError } from '../common/index.js';
import { Bitx } from '../index.js';
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

/** The services that the parts of a hub's client share. */
export interface Connection {
  /** Sent with requests for files. */
  headers: Record<string, string>;
  cache(): Promise<ModelCache>;
  bitx(): Promise<Bitx>;
  call<O extends Operation>(
    operation: O,
    args: Operations[O]['args'],
    signal?: AbortSignal,
    onProgress?: (loaded: number) => void,
  ): Promise<Operations[O]['result']>;
  /** The address of a file of a model. */
  fileUrl(model: string, path: string): string;
  /** The files of a model, by path, as BLAKE3 in hex. */
  filesOf(model: string, signal: AbortSignal | undefined): Promise<Map<string, string>>;
}

/**
 * Gets models from a `bitx serve`, and sends models there, as deltas wherever a base is at hand.
 *
 * ```ts
 * const hub = new BitxHub({ url: 'https://hub.example/' });
 * const files = await hub.pull('org/fine-tune');
 * const model = files.get('model.safetensors');
 * ```
 *
 * Nothing is started or opened before it is needed. What is pulled lies in a {@link ModelCache}, and every file has been
 * checked against its BLAKE3.
 */
export class BitxHub {
  readonly #connection: Connection;
  readonly #pushes: Pushes;
  readonly #client: Lazy<Client>;
  readonly #cache = new Lazy(() => ModelCache.open());
  readonly #bitx = new Lazy(() => Bitx.create());

  constructor(options: HubOptions) {
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

  /** The models that the token may read. */
  async list({ signal }: HubCallOptions = {}): Promise<HubModel[]> {
    const args = { method: 'GET', path: 'api/models' };
    return checked(signal, async () => listIn<HubModel>(await this.#call('request', args, signal)));
  }

  /**
   * Answers before any download what {@link BitxHub.pull} would do: what is here, what would be fetched, what that
   * saves, and whether it fits. The hub learns which files this page has.
   */
  async plan(name: string, options: HubPlanOptions = {}): Promise<HubPlan> {
    return checked(options.signal, () => planPull(this.#connection, name, options));
  }

  /**
   * Gets a model's files: from the cache, restored from a base in the cache and a delta, or whole, each as it takes least.
   * They stay in the cache.
   */
  async pull(name: string, options: HubPullOptions = {}): Promise<HubFiles> {
    return checked(options.signal, () => pull(this.#connection, name, options));
  }

  /** Answers before any upload what the hub has of a model, and which of its files fit as a base. */
  async planPush(
    name: string,
    files: Record<string, HubPushFile>,
    options: HubPushPlanOptions = {},
  ): Promise<HubPushPlan> {
    return checked(options.signal, () => this.#pushes.plan(name, files, options));
  }

  /**
   * Publishes a model, given as its files by path. What the hub has is not sent; the rest goes as a delta against the
   * best base that is at hand. After an abort or a failure, the same call goes on where that one was.
   */
  async push(
    name: string,
    files: Record<string, HubPushFile>,
    options: HubPushOptions = {},
  ): Promise<HubPushResult> {
    return checked(options.signal, () => this.#pushes.push(name, files, options));
  }

  /** Ends the workers that were started. Calls that are pending reject with `disposed`. */
  close(): void {
    const error = new BitxError('disposed', 'This BitxHub was closed');
    this.#client.end(error, (client) => client.end(error));
    this.#cache.end(error, (cache) => cache.close());
    this.#bitx.end(error, (bitx) => bitx.dispose());
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
    retries: options.retries ?? 6,
    retryDelay: options.retryDelay ?? 500,
    stallTimeout: options.stallTimeout ?? 30_000,
    partSize: options.partSize ?? 8 << 20,
  };
  if (!Number.isSafeInteger(settings.partSize) || settings.partSize < 1) {
    throw new BitxError(
      'invalid-argument',
      `partSize must be a whole number from 1 on, not ${settings.partSize}`,
    );
  }
  return settings;
}

/** A path as part of an address: its slashes stay. */
function encodePath(path: string): string {
  return path.split('/').map(encodeURIComponent).join('/');
}

/** Runs a call, unless its signal is aborted already. */
function checked<T>(signal: AbortSignal | undefined, action: () => Promise<T>): Promise<T> {
  return orAbortError(signal, async () => {
    signal?.throwIfAborted();
    return action();
  });
}
