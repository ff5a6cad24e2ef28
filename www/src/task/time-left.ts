/** The shortest time after which the time left is estimated, in milliseconds. */
const SETTLED_MS = 1500;

/** Estimates the time that a phase of a task still takes, from its speed so far. */
export class TimeLeft {
  #phase = '';
  #begun = 0;
  #from = 0;

  /** Returns the seconds left, once they can be told. `now` is in milliseconds. */
  seconds(phase: string, loaded: number, total: number | undefined, now: number): number | undefined {
    if (phase !== this.#phase || loaded < this.#from) {
      this.#phase = phase;
      this.#begun = now;
      this.#from = loaded;
    }
    const elapsed = now - this.#begun;
    const done = loaded - this.#from;
    if (total === undefined || elapsed < SETTLED_MS || done <= 0) return undefined;
    return ((total - loaded) / done) * (elapsed / 1000);
  }
}
