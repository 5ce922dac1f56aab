/** `node --import gammaloop/register/net app.js`, or `node -r gammaloop/register/net app.js`: install({ net: true }) before the application loads. */
import { install } from './drop-in/install.js';

install({ net: true });
