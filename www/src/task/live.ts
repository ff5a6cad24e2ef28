import { byId, make } from '../dom.js';
import { bytes, speed, threads } from '../format.js';

/** The figures of a running task. */
export interface Live {
  fetchedBytes?: number;
  restoredBytes?: number;
  threads?: number;
}

/** Shows the figures of a running task side by side: bytes, their speed and the cores. */
export class LiveFigures {
  #live: Live = {};
  /** The time of the first restored byte, in milliseconds. */
  #begun = 0;

  reset(live: Live = {}): void {
    this.#live = live;
    this.#begun = 0;
    this.#show();
  }

  update(change: Live): void {
    if (change.restoredBytes !== undefined && this.#begun === 0) this.#begun = performance.now();
    Object.assign(this.#live, change);
    this.#show();
  }

  #show(): void {
    const { fetchedBytes, restoredBytes, threads: count } = this.#live;
    const seconds = (performance.now() - this.#begun) / 1000;
    const figures: [string, string | undefined][] = [
      ['Fetched', fetchedBytes === undefined ? undefined : bytes(fetchedBytes)],
      ['Restored', restoredBytes === undefined ? undefined : bytes(restoredBytes)],
      ['Speed', restoredBytes && seconds > 0.05 ? speed(restoredBytes, seconds) : undefined],
      ['Computed on', count === undefined ? undefined : threads(count)],
    ];
    const shown = figures.filter((figure): figure is [string, string] => figure[1] !== undefined);
    byId('live').replaceChildren(
      ...shown.map(([name, value]) => make('div', {}, make('dt', {}, name), make('dd', {}, value))),
    );
  }
}
