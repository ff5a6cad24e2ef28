import uPlot from 'uplot';
import 'uplot/dist/uPlot.min.css';
import { make } from '../dom.js';
import { percent } from '../format.js';
import type { Detail } from './messages.js';
import { symbolName } from './model.js';

/** One chart: its bars' names and heights. */
interface Bars {
  title: string;
  names: string[];
  counts: number[];
  total: number;
  /** A sentence about the names. */
  note?: string;
}

type Colors = [ink: () => string, line: () => string, fill: () => string];

const HEIGHT = 190;

/** Names such as `4…`, of which each stands for the steps up to the next one. */
const RANGES = 'A bar “4…” holds 4 to 7 steps, the next one 8 to 15, and so on.';

let drawn: { plot: uPlot; watcher: ResizeObserver }[] = [];

matchMedia('(prefers-color-scheme: dark)').addEventListener('change', () => {
  for (const { plot } of drawn) plot.redraw();
});

/** Draws the differences and the changed bits of a tensor's weights into an element. */
export function histograms(element: HTMLElement, detail: Detail): void {
  for (const { plot, watcher } of drawn.splice(0)) {
    watcher.disconnect();
    plot.destroy();
  }
  const { symbols, changed, counted } = detail;
  const charts: Bars[] = [
    {
      title: 'Differences, in steps',
      names: symbols.map(([symbol]) => symbolName(symbol)),
      counts: symbols.map(([, count]) => count),
      total: counted,
      note: RANGES,
    },
    {
      title: 'Changed bits of a weight',
      names: changed.map((_, bits) => String(bits)),
      counts: changed,
      total: counted,
    },
  ];
  element.replaceChildren(...charts.map(figure));
  drawn = charts.map((chart, i) => draw(chart, element.children[i]?.querySelector('.plot') as HTMLElement));
}

function figure({ title, names, counts, total, note = '' }: Bars): HTMLElement {
  const most = counts.indexOf(Math.max(...counts));
  const share = percent(counts[most] ?? 0, total);
  const text = `Most often ${names[most] ?? ''}: ${share} of the weights. ${note}`;
  return make(
    'figure',
    { class: 'chart' },
    make('h3', {}, title),
    make('div', { class: 'plot', 'aria-hidden': 'true' }),
    make('figcaption', { class: 'aside' }, text),
  );
}

function draw({ names, counts, total }: Bars, element: HTMLElement): (typeof drawn)[number] {
  // Functions, since the theme may change.
  const [ink, line, fill] = ['--soft', '--line', '--delta'].map((name) => () => colorOf(name)) as Colors;
  const font = '12px system-ui, sans-serif';
  const xs = counts.map((_, i) => i);
  const shares = counts.map((count) => (count / Math.max(1, total)) * 100);
  const plot = new uPlot(
    {
      width: element.clientWidth,
      height: HEIGHT,
      legend: { show: false },
      cursor: { show: false },
      scales: {
        x: { time: false, range: [-0.7, Math.max(0.7, xs.length - 0.3)] },
        y: { range: [0, Math.max(...shares) * 1.1] },
      },
      axes: [
        {
          ...{ stroke: ink, font, grid: { show: false }, ticks: { show: false }, size: 28 },
          space: 34,
          incrs: [1, 2, 4, 8, 16],
          values: (_, places) => places.map((place) => names[place] ?? ''),
        },
        {
          ...{ stroke: ink, font, grid: { stroke: line, width: 1 }, ticks: { show: false }, size: 48 },
          values: (_, places) => places.map((place) => `${place} %`),
        },
      ],
      series: [{}, { fill, stroke: fill, width: 0, points: { show: false }, paths: bars() }],
    },
    [xs, shares],
    element,
  );
  const watcher = new ResizeObserver(() => plot.setSize({ width: element.clientWidth, height: HEIGHT }));
  watcher.observe(element);
  return { plot, watcher };
}

function bars(): uPlot.Series.PathBuilder {
  if (!uPlot.paths.bars) throw new Error('this uPlot has no bars');
  return uPlot.paths.bars({ size: [0.75, 40] });
}

/** Resolves a color of the style sheet, which may depend on the theme, for a canvas. */
function colorOf(name: string): string {
  const probe = make('span');
  probe.style.color = `var(${name})`;
  document.body.append(probe);
  const { color } = getComputedStyle(probe);
  probe.remove();
  return color;
}
