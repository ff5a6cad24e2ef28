import { bytes } from '../format.js';
import { type Picture, pictureSvg } from './picture.js';

/** The parts of the sample's description that the first screen shows. */
interface Described {
  base: { storedBytes: number };
  tunes: { id: string; title: string; about: string; bytes: number; storedBytes: number }[];
  picture: Picture;
}

/** Fills the picture and the figures of the sample into the page's markup. */
export function firstScreen(html: string, { base, tunes, picture }: Described): string {
  const [first] = tunes;
  if (!first) throw new Error('the sample has no fine-tune');
  const parts = {
    base: bytes(base.storedBytes),
    tunes: tunes.map(choice).join(''),
    whole: bytes(first.bytes),
    change: bytes(first.storedBytes),
    picture: pictureSvg(picture, first.id),
  };
  return Object.entries(parts).reduce(
    (page, [name, markup]) => page.replace(`<!-- ${name} -->`, () => markup),
    html,
  );
}

function choice(tune: Described['tunes'][number], index: number): string {
  const { id, title, about, storedBytes } = tune;
  const checked = index === 0 ? ' checked' : '';
  return (
    `<label class="tune"><input type="radio" name="tune" value="${id}"${checked} />` +
    `<span class="tune-title">${title}</span><strong>${bytes(storedBytes)}</strong>` +
    `<span class="aside">${about}</span></label>`
  );
}
