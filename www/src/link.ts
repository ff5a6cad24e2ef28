import { make } from './dom.js';
import { duration } from './format.js';

/** Link speeds to choose from, in megabits per second. */
const LINKS: [name: string, megabits: number][] = [
  ['slow 4G, 1.6 Mbit/s', 1.6],
  ['20 Mbit/s', 20],
  ['50 Mbit/s', 50],
  ['100 Mbit/s', 100],
  ['1 Gbit/s', 1000],
];

/** A model of a usual size, for which the sample's ratio is worked out. */
const LARGE_MODEL = 15e9;

let chosen = 50;

/** Returns the seconds that `size` bytes take on a link of so many megabits per second. */
export function linkSeconds(size: number, megabits: number): number {
  return (size * 8) / (megabits * 1e6);
}

/** Shows the time of a full download beside that of the fetched bytes, on a link to choose. */
export function linkView(whole: number, fetched: number): HTMLElement {
  const select = make('select', { id: 'link-speed' });
  for (const [name, megabits] of LINKS) select.append(make('option', { value: String(megabits) }, name));
  select.value = String(chosen);
  const text = make('p', { id: 'link-times', role: 'status' });
  const show = () => {
    chosen = Number(select.value);
    text.replaceChildren(...times(whole, fetched, chosen));
  };
  select.addEventListener('change', show);
  show();
  return make('div', { class: 'link' }, make('label', { class: 'aside' }, 'On a link of ', select), text);
}

function times(whole: number, fetched: number, megabits: number): (Node | string)[] {
  const time = (size: number) => duration(linkSeconds(size, megabits));
  return [
    'The whole model takes ',
    make('strong', {}, time(whole)),
    ', the change ',
    make('strong', { class: 'changed' }, time(fetched)),
    '. For a model of 15 GB at the same ratio: ',
    make('strong', {}, time(LARGE_MODEL)),
    ' or ',
    make('strong', { class: 'changed' }, time((LARGE_MODEL * fetched) / whole)),
    '.',
  ];
}
