/**
 * Draws measured speeds as bars:
 * `node scripts/bench/chart.mjs NATIVE.json [BROWSER.json ...] > docs/figures.svg`.
 *
 * NATIVE.json is what `npm run bench -- --json` printed, each BROWSER.json what `npm run bench:browser -- --json`
 * printed for the same model.
 */
import { readFileSync } from 'node:fs';

const WIDTH = 750;
const LABEL = 280;
const VALUE = 90;
const ROW = 22;
const GAP = 14;

const [native, ...browsers] = process.argv.slice(2).map((path) => JSON.parse(readFileSync(path, 'utf8')));
if (!native) {
  console.error('usage: node scripts/bench/chart.mjs NATIVE.json [BROWSER.json ...]');
  process.exit(2);
}
process.stdout.write(chart(groupsOf(native, browsers)));

/** Groups of bars `{ label, value, kind }` for the first pair of models. */
function groupsOf({ threads, pairs: [pair] }, results) {
  const groups = pair.rows
    .filter((row) => row.unit === 'MB/s')
    .map((row) => [
      // The peer has one format of its own, whichever of ours it stands beside.
      { label: `${row.what.replace(/^v\d( fast)? /, '')}: ${row.peer}`, value: row.theirs, kind: 'peer' },
      { label: `${row.what}: bitx-wasm`, value: row.ours, kind: 'ours' },
    ]);
  const inBrowser = results.map(({ engine, mode, threads: used, decode_mb_s }) => ({
    label: `decode, ${engine.split(/[ .]/).slice(0, 2).join(' ')}: ${mode === 'single' ? '1 thread' : `${used} threads`}`,
    value: decode_mb_s,
    kind: 'ours',
  }));
  if (inBrowser.length > 0) groups.splice(1, 0, inBrowser);
  return {
    title: `${pair.name}, MB/s, ${threads} threads where not said otherwise; longer is faster`,
    groups,
  };
}

function chart({ title, groups }) {
  const most = Math.max(...groups.flat().map(({ value }) => value));
  const parts = [];
  let y = 40;
  for (const group of groups) {
    for (const bar of group) {
      parts.push(drawBar(bar, y, ((WIDTH - LABEL - VALUE) * bar.value) / most));
      y += ROW;
    }
    y += GAP;
  }
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${y}" role="img" aria-label="${escapeXml(title)}">
<style>
text { font: 13px system-ui, sans-serif; fill: #24292f }
.peer { fill: #8c959f }
.ours { fill: #0969da }
@media (prefers-color-scheme: dark) { text { fill: #e6edf3 } .peer { fill: #6e7681 } .ours { fill: #4493f8 } }
</style>
<text x="0" y="18">${escapeXml(title)}</text>
${parts.join('\n')}
</svg>
`;
}

function drawBar({ label, value, kind }, y, width) {
  const baseline = y + 13;
  return [
    `<text x="${LABEL - 8}" y="${baseline}" text-anchor="end">${escapeXml(label)}</text>`,
    `<rect class="${kind}" x="${LABEL}" y="${y}" width="${width.toFixed(1)}" height="${ROW - 5}"/>`,
    `<text x="${(LABEL + width + 6).toFixed(1)}" y="${baseline}">${value.toFixed(0)}</text>`,
  ].join('');
}

function escapeXml(text) {
  return text.replace(/[&<>"]/g, (char) => `&#${char.charCodeAt(0)};`);
}
