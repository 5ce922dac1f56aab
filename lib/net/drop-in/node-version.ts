/** What the running node does differently from others, where it can only be told by the version. */
import { versions } from 'node:process';

const major = Number(versions.node.split('.')[0]);

/** `server.maxConnections = 0` admits nobody; before, it was no limit. */
export const zeroConnectionsIsALimit = major >= 22;
