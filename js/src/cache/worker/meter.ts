import type { CacheProgress } from '../types.js';

/** Reports more often than this only cost. */
const INTERVAL_MS = 50;

/** Counts the bytes of a call and tells of them, though not of each. */
export class Meter {
  readonly #phase: CacheProgress['phase'];
  readonly #report: (progress: CacheProgress) => void;
  #loaded = 0;
  #total: number | undefined;
  #reported = Number.NEGATIVE_INFINITY;

  constructor(phase: CacheProgress['phase'], report: (progress: CacheProgress) => void) {
    this.#phase = phase;
    this.#report = report;
  }

  /** Begins to count, from what is there already. */
  begin(loaded: number, total: number | undefined): void {
    this.#loaded = loaded;
    this.#total = total;
    this.#tell();
  }

  /** More bytes are there; fewer, where some have to come again. */
  add(bytes: number): void {
    this.#loaded += bytes;
    if (this.#loaded === this.#total || performance.now() - this.#reported >= INTERVAL_MS) this.#tell();
  }

  #tell(): void {
    this.#reported = performance.now();
    this.#report({ phase: this.#phase, loaded: this.#loaded, total: this.#total });
  }
}
