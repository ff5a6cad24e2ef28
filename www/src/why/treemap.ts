import type { ArchiveInfo, TensorInfo } from 'bitx-wasm';
import { hierarchy, treemap } from 'd3-hierarchy';
import { make } from '../dom.js';
import { bytes, percent } from '../format.js';

const SVG = 'http://www.w3.org/2000/svg';
const HEIGHT = 320;
/** Tensors that are drawn one by one, at most; smaller ones would be specks. */
const MOST = 250;

/** A place of the map: a tensor, or the sum of many small ones. */
type Place = Pick<TensorInfo, 'name' | 'storedBytes' | 'restoredBytes'>;

/**
 * Draws an archive's tensors by their sizes, coloured by the part of them that is stored. The map
 * is drawn as soon as it has a width, and again for each other one.
 */
export function treemapView({ tensors }: ArchiveInfo, pick: (name: string) => void): HTMLElement {
  const root = hierarchy<{ children: Place[] } | Place>({ children: places(tensors) }, (node) =>
    'children' in node ? node.children : null,
  ).sum((node) => ('children' in node ? 0 : Math.max(1, node.restoredBytes)));
  const svg = element('svg', {
    ...{ class: 'treemap', height: HEIGHT, role: 'img' },
    'aria-label': `${tensors.length} tensors by size. The table of tensors has the same figures.`,
  });
  const draw = (width: number) => {
    const drawn = treemap<{ children: Place[] } | Place>().size([width, HEIGHT]).paddingInner(3);
    const cells = drawn
      .round(true)(root)
      .leaves()
      .flatMap(({ data, x0, x1, y0, y1 }) =>
        'children' in data ? [] : [cell(data, [x0, y0, x1 - x0, y1 - y0], pick)],
      );
    svg.replaceChildren(...cells);
  };
  new ResizeObserver(() => draw(svg.clientWidth)).observe(svg);
  return make(
    'figure',
    { class: 'chart wide' },
    make('h3', {}, 'Tensors by size'),
    svg,
    make(
      'figcaption',
      { class: 'aside legend' },
      make('span', {}, '0 % of a tensor is stored'),
      make('span', { class: 'scale', 'aria-hidden': 'true' }),
      make('span', {}, '50 % and more'),
    ),
  );
}

/** Returns the largest tensors, and the sum of the others. */
function places(tensors: TensorInfo[]): Place[] {
  const bySize = tensors.toSorted((a, b) => b.restoredBytes - a.restoredBytes);
  const rest = bySize.slice(MOST);
  if (rest.length === 0) return bySize;
  const sum = (of: (tensor: TensorInfo) => number) => rest.reduce((all, tensor) => all + of(tensor), 0);
  return [
    ...bySize.slice(0, MOST),
    {
      name: `${rest.length.toLocaleString('en')} smaller tensors`,
      storedBytes: sum(({ storedBytes }) => storedBytes),
      restoredBytes: sum(({ restoredBytes }) => restoredBytes),
    },
  ];
}

function cell(
  { name, storedBytes, restoredBytes }: Place,
  [x, y, width, height]: [number, number, number, number],
  pick: (name: string) => void,
): SVGElement {
  const share = Math.min(1, storedBytes / Math.max(1, restoredBytes) / 0.5);
  const rect = element('rect', { x, y, width, height, rx: 3 });
  // The square root tells small shares apart.
  rect.style.fill = `color-mix(in oklab, var(--heavy) ${Math.round(Math.sqrt(share) * 100)}%, var(--light))`;
  const title = element('title', {});
  const part = percent(storedBytes, restoredBytes);
  title.textContent = `${name}: ${bytes(storedBytes)} of ${bytes(restoredBytes)}, ${part}`;
  const group = element('g', {});
  group.append(title, rect);
  if (width > 90 && height > 34) group.append(label(name, part, x, y, width));
  group.addEventListener('click', () => pick(name));
  return group;
}

function label(name: string, share: string, x: number, y: number, width: number): SVGElement {
  const room = Math.floor((width - 16) / 7.6);
  const text = element('text', { x: x + 8, y: y + 20 });
  const first = element('tspan', {});
  first.textContent = name.length > room ? `…${name.slice(1 - room)}` : name;
  const second = element('tspan', { x: x + 8, dy: 17, class: 'share' });
  second.textContent = share;
  text.append(first, second);
  return text;
}

function element<K extends keyof SVGElementTagNameMap>(
  tag: K,
  attributes: Record<string, string | number>,
): SVGElementTagNameMap[K] {
  const made = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, String(value));
  return made;
}
