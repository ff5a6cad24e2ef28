import { make } from '../dom.js';
import { engine } from '../engine.js';
import { type Bar, sizes } from '../result.js';
import type { Counter } from './client.js';
import type { Pair } from './offer.js';

/** Models larger than this are not compressed again only to compare. */
const LARGEST = 512e6;

/** Offers to measure what other ways make of the model, here in the page. */
export function compareSizes(counter: Counter, pair: Pair): HTMLElement {
  const whole = pair.targets.reduce((sum, { size }) => sum + size, 0);
  const body = make('div', { id: 'other-sizes' });
  const button = make('button', { type: 'button', class: 'small', id: 'measure' }, 'Measure');
  const text = make('p', { class: 'aside', role: 'status' });
  button.addEventListener('click', () => {
    button.disabled = true;
    text.textContent = 'Compressing in four ways…';
    measure(counter, pair).then(
      (bars) => {
        body.replaceChildren(sizes(bars));
        text.textContent = 'Lossless, all of them: zstd at level 3, and bitx without the base.';
        button.hidden = true;
      },
      (error: unknown) => {
        text.textContent = `This could not be measured: ${error instanceof Error ? error.message : error}`;
        button.disabled = false;
      },
    );
  });
  if (whole > LARGEST) {
    button.hidden = true;
    text.textContent = 'This model is too large to compress it again only to compare.';
  } else text.textContent = 'zstd, XOR and zstd, and bitx without a base, computed in this page.';
  return make(
    'section',
    { class: 'compare', 'aria-label': 'Other ways' },
    make('h3', {}, 'Beside other ways'),
    body,
    make('div', { class: 'actions' }, button, text),
  );
}

async function measure(counter: Counter, { targets, archive }: Pair): Promise<Bar[]> {
  const bitx = await engine();
  const { zstd, xorZstd } = await counter.call('sizes', {});
  let alone = 0;
  for (const target of targets) alone += (await bitx.compress({ base: [], target })).size;
  return [
    ['Model', archive.restoredBytes, 'whole'],
    ['zstd', zstd, 'whole'],
    ['bitx, no base', alone, 'whole'],
    ['XOR + zstd', xorZstd, 'whole'],
    ['bitx delta', archive.storedBytes, 'delta'],
  ];
}
