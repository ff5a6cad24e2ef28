/**
 * A value that is started when it is first needed. If that fails, the next call starts it again.
 */
export class Lazy<T> {
  readonly #start: () => Promise<T>;
  readonly #isAlive: (value: T) => boolean;
  #started: Promise<T> | undefined;
  #ended: { error: unknown } | undefined;

  constructor(start: () => Promise<T>, isAlive: (value: T) => boolean = () => true) {
    this.#start = start;
    this.#isAlive = isAlive;
  }

  async get(): Promise<T> {
    if (this.#ended) throw this.#ended.error;
    this.#started ??= this.#start();
    const started = this.#started;
    const forget = () => {
      if (this.#started === started) this.#started = undefined;
    };
    const value = await started.catch((error: unknown) => {
      forget();
      throw error;
    });
    if (this.#isAlive(value)) return value;
    forget();
    return this.get();
  }

  /** Calls `action` on the value, if it was started. From then on, `get` rejects with `error`. */
  end(error: unknown, action: (value: T) => void): void {
    this.#ended = { error };
    this.#started?.then(action).catch(() => {});
  }
}
