// gammaloop/ws: the same program as ws.mjs.
import * as ws from '../../dist/drop-in/ws/index.js';
import { serveWebSockets } from './ws-package.mjs';

serveWebSockets(ws, 'gammaloop/ws');
