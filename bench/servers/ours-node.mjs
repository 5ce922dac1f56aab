// serve({ node }): the handler of node:http.
import { serve } from '../../dist/index.js';
import { handler } from './node-handler.mjs';
import { announce, options } from './ours.mjs';

announce(await serve({ ...options, node: handler }));
