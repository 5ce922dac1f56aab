// The ws package.
import { readFileSync } from 'node:fs';
import * as ws from 'ws';
import { serveWebSockets } from './ws-package.mjs';

// ws does not export its package.json.
const { version } = JSON.parse(readFileSync(new URL('../node_modules/ws/package.json', import.meta.url), 'utf8'));
serveWebSockets(ws, `ws ${version}`);
