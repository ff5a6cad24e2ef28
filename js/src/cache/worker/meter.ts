import type { CacheProgress } from '../types.js';

/** The shortest time between two reports. More frequent ones only cost time. */
const INTERVAL_MS = 50;

/** Counts the bytes of a call, and reports them at intervals. */
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

  /** Starts to count from the bytes that are already stored. */
  begin(loaded: number, total: number | undefined): void {
    this.#loaded = loaded;
    this.#total = total;
    this.#tell();
  }

  /** Adds bytes; a negative number if bytes must be fetched again. */
  add(bytes: number): void {
    this.#loaded += bytes;
    if (this.#loaded === this.#total || performance.now() - this.#reported >= INTERVAL_MS) this.#tell();
  }

  #tell(): void {
    this.#reported = performance.now();
    this.#report({ phase: this.#phase, loaded: this.#loaded, total: this.#total });
  }
}
