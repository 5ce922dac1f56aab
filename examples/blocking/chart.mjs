// Histograms of latency, one above the other over one logarithmic axis, as an SVG of its own: light and dark, no script.
import { percentile } from './load.mjs';

const WIDTH = 860;
const PANEL = { top: 96, height: 88, gap: 44, left: 64, right: 28 };
const BINS_PER_DECADE = 16;

const STYLE = `
  svg { --back: #ffffff; --ink: #1c2330; --soft: #5b6576; --grid: #e3e7ee; --idle: #6b7a90; --runner: #0b8a6a; --loop: #c8452e; }
  @media (prefers-color-scheme: dark) {
    svg { --back: #12161d; --ink: #e8ecf2; --soft: #9aa6b8; --grid: #2a313d; --idle: #94a3b8; --runner: #34c99a; --loop: #ff7d63; }
  }
  text { font: 13px system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif; fill: var(--ink); }
  .title { font-size: 19px; font-weight: 600; }
  .panel { font-weight: 600; }
  .soft { fill: var(--soft); font-size: 12px; }
  .grid { stroke: var(--grid); }
  .base { stroke: var(--soft); }
  .block { stroke: var(--ink); stroke-dasharray: 2 4; opacity: 0.65; }
  .p50, .p99 { stroke: var(--ink); stroke-width: 2; }
  .p99 { stroke-dasharray: 6 3; }
  .back { fill: var(--back); }
  .idle { fill: var(--idle); } .runner { fill: var(--runner); } .loop { fill: var(--loop); }`;

/** `results`: for each panel `name`, `title` and `others`, the sorted latencies in ms. */
export function drawChart(results, { blockMs, seconds }) {
  const lowest = 10 ** Math.floor(Math.log10(Math.min(...results.map(({ others }) => percentile(others, 0.001)))));
  const highest = 10 ** Math.ceil(Math.log10(Math.max(blockMs, ...results.map(({ others }) => others.at(-1)))));
  const decades = Math.round(Math.log10(highest / lowest));
  const plotWidth = WIDTH - PANEL.left - PANEL.right;
  const x = (ms) => PANEL.left + (Math.log10(Math.min(Math.max(ms, lowest), highest) / lowest) / decades) * plotWidth;
  const histograms = results.map(({ others }) => histogram(others, lowest, decades * BINS_PER_DECADE));
  const tallest = Math.ceil(Math.max(...histograms.flat()) * 20) / 20;
  const bottom = PANEL.top + results.length * (PANEL.height + PANEL.gap) - PANEL.gap;
  const height = bottom + 104;

  const parts = [`<rect class="back" width="${WIDTH}" height="${height}"/>`];
  const label = (atX, atY, text, kind = '', anchor = 'start') =>
    parts.push(`<text x="${round(atX)}" y="${round(atY)}" class="${kind}" text-anchor="${anchor}">${text}</text>`);
  const line = (x1, y1, x2, y2, kind) =>
    parts.push(`<line x1="${round(x1)}" y1="${round(y1)}" x2="${round(x2)}" y2="${round(y2)}" class="${kind}"/>`);

  label(24, 34, 'What a blocking section does to everybody else', 'title');
  label(
    24,
    56,
    `Latency of quick requests, one every 2 ms for ${seconds} s, while others ask for ${blockMs} ms of work, three at a time`,
    'soft',
  );

  for (let ms = lowest; ms <= highest * 1.001; ms *= 10) {
    line(x(ms), PANEL.top - 6, x(ms), bottom, 'grid');
    label(x(ms), bottom + 20, `${Number(ms.toPrecision(1))}`, 'soft', 'middle');
  }
  label(PANEL.left + plotWidth / 2, bottom + 42, 'latency in milliseconds, logarithmic', '', 'middle');
  label(0, 0, 'share of requests', 'soft', 'middle');
  parts.push(
    parts.pop().replace('<text x="0" y="0"', `<text transform="translate(18 ${(PANEL.top + bottom) / 2}) rotate(-90)"`),
  );

  results.forEach(({ name, title, others }, panel) => {
    const base = PANEL.top + panel * (PANEL.height + PANEL.gap) + PANEL.height;
    const top = base - PANEL.height;
    const bar = plotWidth / histograms[panel].length;
    histograms[panel].forEach((share, bin) => {
      const tall = (share / tallest) * PANEL.height;
      if (share > 0) {
        // What is there is seen, however rare it is.
        const shown = Math.max(tall, 1);
        parts.push(
          `<rect x="${round(PANEL.left + bin * bar + 0.5)}" y="${round(base - shown)}" width="${round(bar - 1)}" height="${round(shown)}" class="${name}"/>`,
        );
      }
    });
    line(PANEL.left, base, PANEL.left + plotWidth, base, 'base');
    label(PANEL.left - 8, base + 4, '0', 'soft', 'end');
    label(PANEL.left - 8, top + 4, `${Math.round(tallest * 100)} %`, 'soft', 'end');
    label(PANEL.left, top - 12, title, 'panel');
    const [p50, p99] = [percentile(others, 0.5), percentile(others, 0.99)];
    label(
      PANEL.left + plotWidth,
      top - 12,
      `p50 ${text(p50)} ms, p99 ${text(p99)} ms, slowest ${text(others.at(-1))} ms`,
      '',
      'end',
    );
    line(x(blockMs), top, x(blockMs), base, 'block');
    line(x(p50), top, x(p50), base, 'p50');
    line(x(p99), top, x(p99), base, 'p99');
  });

  const legend = bottom + 78;
  const entries = [
    ['p50', 'median (p50)'],
    ['p99', '99th percentile (p99)'],
    ['block', `length of the blocking section, ${blockMs} ms`],
  ];
  entries.forEach(([kind, text], index) => {
    const at = PANEL.left + [0, 150, 350][index];
    line(at, legend - 13, at, legend + 3, kind);
    label(at + 10, legend, text, 'soft');
  });
  const head = `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${height}" width="${WIDTH}" height="${height}" role="img" aria-label="Latency of quick requests beside a blocking section">`;
  return `${head}<style>${STYLE}\n</style>\n${parts.join('\n')}\n</svg>\n`;
}

/** The share of the values in each bin. */
function histogram(sorted, lowest, bins) {
  const shares = new Array(bins).fill(0);
  for (const value of sorted) {
    const bin = Math.floor(Math.log10(value / lowest) * BINS_PER_DECADE);
    shares[Math.min(Math.max(bin, 0), bins - 1)] += 1 / sorted.length;
  }
  return shares;
}

function text(ms) {
  return ms < 10 ? ms.toFixed(2) : ms.toFixed(0);
}

function round(value) {
  return Number(value.toFixed(2));
}
