/** What the slow-callback detector (lib/loop/slow-callbacks.ts) asks of a resource of ours: what it calls. */

/** A property of an AsyncResource: the function that it runs, or a text that says which. */
export const HANDLER: unique symbol = Symbol('gammaloop.handler');

export interface HasHandler {
  readonly [HANDLER]: ((...args: never[]) => unknown) | string | null;
}
