/** The chart of a report as an SVG: bars of sizes on the left, of speeds on the right. */
import { isOurs, samplesOf, share, summary } from './figures.mjs';

const COLUMN = 400;
const GUTTER = 30;
const LABEL = 136;
const VALUE = 52;
const ROW = 20;
const TITLE = 26;
const GAP = 18;

/**
 * Our own bars: the default effort in panels of sizes, and the fast effort as well in panels of
 * speeds.
 */
const OURS = { size: ['bitx v2'], speed: ['bitx v2', 'bitx v2 fast'] };

export function chart(report) {
  const columns = [
    ['sft-bf16', 'rl-bf16', 'lora-bf16'].map((name) => sizePanel(report, name)),
    [
      speedPanel(report, 'sft-bf16', 'decode', 'memory', 'computing only'),
      speedPanel(report, 'sft-bf16', 'decode', 'process', 'whole process'),
      speedPanel(report, 'sft-bf16', 'encode', 'process', 'whole process'),
    ],
  ];
  const drawn = columns.map((panels, index) => drawColumn(panels, index * (COLUMN + GUTTER)));
  const height = Math.max(...drawn.map(({ bottom }) => bottom));
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${2 * COLUMN + GUTTER} ${height}" role="img" aria-label="Sizes and speeds of bitx v2 and of others, as in BENCHMARKS.md">
<style>
text { font: 12px system-ui, sans-serif; fill: #1f2328 }
.title { font-weight: 600 }
.peer { fill: #afb8c1 }
.ours { fill: #0969da }
@media (prefers-color-scheme: dark) { text { fill: #e6edf3 } .peer { fill: #6e7681 } .ours { fill: #4493f8 } }
</style>
${drawn.map(({ parts }) => parts.join('\n')).join('\n')}
</svg>
`;
}

function sizePanel(report, name) {
  const { rows } = report.sizes.find((sizes) => sizes.name === name);
  const bars = rows.filter(shown('size')).map(({ coder }) => {
    const percent = 100 * share(report, name, coder);
    return { label: coder, value: percent, text: `${percent.toFixed(percent < 10 ? 2 : 1)} %` };
  });
  return { title: `${name}: size, % of the fine-tune (shorter is better)`, bars: ascending(bars) };
}

function speedPanel(report, name, direction, timed, how) {
  const { samples } = report.speeds.find((speeds) => speeds.name === name);
  const coders = [...new Set(samples.filter(shown('speed')).map(({ coder }) => coder))];
  const bars = coders.flatMap((coder) => {
    const figures = summary(samplesOf(report, name, { coder, timed, direction }));
    return figures ? [{ label: coder, value: figures.median }] : [];
  });
  if (timed === 'memory' && direction === 'decode') bars.push(...chromiumBars(report, name));
  return {
    title: `${name}: ${direction}, MB/s, ${how} (longer is better)`,
    bars: ascending(bars.map((bar) => ({ ...bar, text: bar.value.toFixed(0) }))).reverse(),
  };
}

function chromiumBars({ chromium = [] }, name) {
  const rows = chromium.filter(({ pair }) => pair === name);
  return rows.map(({ mode, threads, decode_mb_s }) => ({
    label: `Chromium, ${mode === 'threads' ? `${threads} threads` : mode}`,
    ...{ value: decode_mb_s, ours: true },
  }));
}

const shown =
  (what) =>
  ({ coder }) =>
    !isOurs(coder) || OURS[what].includes(coder);

const ascending = (bars) => bars.sort((a, b) => a.value - b.value);

function drawColumn(panels, x) {
  const parts = [];
  let y = 0;
  for (const { title, bars } of panels) {
    parts.push(`<text class="title" x="${x}" y="${y + 14}">${escapeXml(title)}</text>`);
    y += TITLE;
    const most = Math.max(...bars.map(({ value }) => value));
    for (const bar of bars) {
      parts.push(drawBar(bar, x, y, ((COLUMN - LABEL - VALUE) * bar.value) / most));
      y += ROW;
    }
    y += GAP;
  }
  return { parts, bottom: y - GAP };
}

function drawBar({ label, text, ours = isOurs(label) }, x, y, length) {
  const start = x + LABEL;
  const baseline = y + 12;
  const width = Math.max(length, 1);
  return [
    `<text x="${start - 8}" y="${baseline}" text-anchor="end">${escapeXml(label)}</text>`,
    `<rect class="${ours ? 'ours' : 'peer'}" x="${start}" y="${y}" width="${width.toFixed(1)}" height="${ROW - 4}" rx="2"/>`,
    `<text x="${(start + width + 6).toFixed(1)}" y="${baseline}">${escapeXml(text)}</text>`,
  ].join('');
}

function escapeXml(text) {
  return text.replace(/[&<>"]/g, (char) => `&#${char.charCodeAt(0)};`);
}
