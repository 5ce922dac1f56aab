// The picture: a panel for each workload, a bar for each server, whiskers from the least to the largest valid run.

import { rank } from './report.mjs';
import { workloads } from './workloads.mjs';

const colours = { ours: '#0b7285', limit: '#343a40', node: '#e8590c', framework: '#c9b79c', peer: '#8d99ae' };
const legend = {
  ours: 'gammaloop',
  limit: 'limit (C)',
  node: 'node:http',
  framework: 'frameworks on node',
  peer: 'other runtimes',
};
const units = { cpuUs: 'CPU µs a request', p50: 'p50 latency, µs', kibEach: 'KiB a connection' };

const panelWidth = 560;
const labelWidth = 124;
const valueWidth = 118;
const barHeight = 15;
const barGap = 6;
const headHeight = 46;
const footHeight = 22;
const gap = 28;

const escapeXml = (text) => text.replace(/[&<>"]/g, (c) => `&#${c.charCodeAt(0)};`);
const short = (value) =>
  Math.abs(value) < 0.005
    ? '0.00'
    : value >= 100
      ? value.toFixed(0)
      : value >= 10
        ? value.toFixed(1)
        : value.toFixed(2);

const text = (x, y, content, more = '') =>
  `<text x="${x.toFixed(1)}" y="${y.toFixed(1)}" ${more}>${escapeXml(content)}</text>`;
const line = (x1, y1, x2, y2, more) =>
  `<line x1="${x1.toFixed(1)}" y1="${y1.toFixed(1)}" x2="${x2.toFixed(1)}" y2="${y2.toFixed(1)}" ${more}/>`;

/** A few round numbers from 0 to at most `max`. */
function ticks(max) {
  const rough = max / 5;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((m) => m * power).find((s) => s >= rough);
  return Array.from({ length: Math.floor(max / step) + 1 }, (_, i) => i * step);
}

/** A few slow servers must not press all others together: the axis ends early, and longer bars are cut with a mark. */
function axisEnd(rows, metric) {
  const values = rows.map((row) => row[metric].max).sort((a, b) => a - b);
  const largest = values[values.length - 1];
  const typical = values[Math.floor((values.length - 1) * 0.75)];
  return Math.max(1e-6, (largest > typical * 2.5 ? typical * 1.4 : largest) * 1.02);
}

function bar(row, metric, y, scale, end) {
  const x0 = labelWidth;
  const { median, min, max } = row[metric];
  const cut = median > end;
  const x = (value) => x0 + Math.max(0, Math.min(value, end)) * scale;
  const centre = y + barHeight / 2;
  const ours = row.kind === 'ours' ? 'font-weight="600"' : '';
  const parts = [
    text(x0 - 8, centre + 4, row.server, `text-anchor="end" ${ours}`),
    `<rect x="${x0}" y="${y}" width="${(x(median) - x0).toFixed(1)}" height="${barHeight}" fill="${colours[row.kind]}"/>`,
  ];
  if (cut) {
    const at = x(end) - 26;
    for (const shift of [0, 6])
      parts.push(line(at + shift, y + barHeight + 2, at + shift + 6, y - 2, 'stroke="#fff" stroke-width="3"'));
  } else {
    const style = 'stroke="#111" stroke-width="1.2"';
    parts.push(line(x(min), centre, x(max), centre, style));
    for (const edge of [min, max]) parts.push(line(x(edge), centre - 4, x(edge), centre + 4, style));
  }
  const labelAt = x(cut ? end : Math.max(max, median)) + 6;
  parts.push(
    text(labelAt, centre + 4, `${short(median)} [${short(min)}-${short(max)}]`, 'font-size="10.5" fill="#495057"'),
  );
  return parts.join('');
}

function panel(title, metric, rows) {
  const shown = rank(rows, metric);
  const end = axisEnd(shown, metric);
  const scale = (panelWidth - labelWidth - valueWidth) / end;
  const bottom = headHeight + shown.length * (barHeight + barGap);
  const parts = [
    text(0, 16, title, 'font-size="15" font-weight="600"'),
    text(0, 33, `${units[metric]}; less is better`, 'fill="#495057"'),
  ];
  for (const tick of ticks(end)) {
    const x = labelWidth + tick * scale;
    parts.push(
      line(x, headHeight - 4, x, bottom, 'stroke="#dee2e6"'),
      text(x, bottom + 14, String(Number(tick.toPrecision(6))), 'text-anchor="middle" font-size="10.5" fill="#868e96"'),
    );
  }
  for (const [i, row] of shown.entries())
    parts.push(bar(row, metric, headHeight + i * (barHeight + barGap), scale, end));
  return { height: bottom + footHeight, svg: parts.join('\n') };
}

export function plot({ setting, rows }) {
  const panels = [];
  for (const [id, { title, metric }] of Object.entries(workloads)) {
    const own = rows.filter((row) => row.workload === id && row[metric]);
    if (own.length > 0) panels.push(panel(title, metric, own));
  }
  // Each panel goes to the shorter of two columns.
  const top = 78;
  const heights = panels.length > 1 ? [top, top] : [top];
  const placed = panels.map(({ height, svg }) => {
    const column = heights.indexOf(Math.min(...heights));
    const y = heights[column];
    heights[column] += height + gap;
    return `<g transform="translate(${gap + column * (panelWidth + gap)},${y})">${svg}</g>`;
  });
  const width = gap + heights.length * (panelWidth + gap);
  const height = Math.max(...heights);
  let x = gap;
  const keys = Object.entries(legend).map(([kind, label]) => {
    const key = `<rect x="${x}" y="48" width="11" height="11" fill="${colours[kind]}"/>${text(x + 16, 58, label)}`;
    x += 34 + label.length * 6.6;
    return key;
  });
  const caption = `${setting.machine.cpu}; server on one core, ${setting.load} on another; medians, whiskers min-max; ${setting.date}`;
  return `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}" viewBox="0 0 ${width} ${height}" font-family="system-ui, 'DejaVu Sans', sans-serif" font-size="12" fill="#212529">
<rect width="100%" height="100%" fill="#fff"/>
${text(gap, 30, caption, 'font-size="13"')}
${keys.join('\n')}
${placed.join('\n')}
</svg>
`;
}
