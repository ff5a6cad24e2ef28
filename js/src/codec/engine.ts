import type { Link } from './link.js';
import type { Role } from './protocol.js';
import { nextMode, start } from './start.js';
import type { CreateOptions, Mode } from './types.js';

/** The worker of one role: started when it is first needed, and again after a fault. */
export class Engine {
  readonly #role: Role;
  readonly #options: CreateOptions;
  #link: Link | undefined;
  #starting: Promise<Link> | undefined;

  constructor(role: Role, { signal: _, ...options }: CreateOptions) {
    this.#role = role;
    this.#options = options;
  }

  /** The worker that was started last, dead or alive. */
  get link(): Link | undefined {
    return this.#link;
  }

  /**
   * Returns a live worker, in `best` or a simpler mode, and starts one if necessary. After a fault
   * the new worker has the next mode, since the mode may have been the cause.
   */
  async alive(best: Mode, signal?: AbortSignal): Promise<Link> {
    if (this.#link && !this.#link.ended) return this.#link;
    this.#starting ??= this.#start(best, signal).finally(() => {
      this.#starting = undefined;
    });
    this.#link = await this.#starting;
    return this.#link;
  }

  #start(best: Mode, signal: AbortSignal | undefined): Promise<Link> {
    const link = this.#link;
    const mode = link && !link.abandoned ? nextMode(link.mode) : (link?.mode ?? best);
    return start(this.#role, mode, signal ? { ...this.#options, signal } : this.#options);
  }
}
