// The page and what it loads, read once at start. Only what is listed here is served.
import { readFileSync } from 'node:fs';

const TYPES = {
  html: 'text/html; charset=utf-8',
  css: 'text/css; charset=utf-8',
  js: 'text/javascript; charset=utf-8',
};

const FILES = {
  '/page': 'index.html',
  '/page/style.css': 'style.css',
  '/page/main.js': 'main.js',
  '/page/chart.js': 'chart.js',
};

/** Path of the URL -> { type, bytes }. */
export const staticFiles = new Map(
  Object.entries(FILES).map(([path, file]) => {
    const bytes = readFileSync(new URL(`./page/${file}`, import.meta.url));
    return [path, { type: TYPES[file.split('.').at(-1)], bytes }];
  }),
);
