/** `node --import gammaloop/register app.js`, or `node -r gammaloop/register app.js`: install() before the application loads. */
import { install } from './drop-in/install.js';

install();
