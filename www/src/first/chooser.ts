import { byId } from '../dom.js';
import { bytes } from '../format.js';
import { LEVELS, squares } from './picture.js';
import { sample, type Tune } from './sample.js';

/** Returns the fine-tune of the sample that is chosen. */
export function chosenTune(): Tune {
  const id = document.querySelector<HTMLInputElement>('input[name="tune"]:checked')?.value;
  const tune = sample.tunes.find((tune) => tune.id === id) ?? sample.tunes[0];
  if (!tune) throw new Error('the sample has no fine-tune');
  return tune;
}

/** Keeps the picture of the first screen in step with the chosen fine-tune. */
export function showChosenTune(): void {
  const { id, bytes: whole, storedBytes } = chosenTune();
  byId('picture-whole').textContent = bytes(whole);
  byId('picture-change').textContent = bytes(storedBytes);
  const { changes, columns } = sample.picture;
  for (const level of LEVELS) {
    const path = document.querySelector(`#weights .change-${level}`);
    path?.setAttribute('d', squares(changes[id] ?? '', level, columns));
  }
}
