/**
 * Performance entries of type 'http' ('HttpRequest'), which only node's own response can make: while somebody observes them, one of node's stands
 * beside each of ours.
 */
import { PerformanceObserver } from 'node:perf_hooks';
import { NodeServerResponse, nodeMethods } from './node-response.js';
import { kShadow, type NativeResponse } from './response-state.js';

/** Has been asked for since this module was loaded: node itself does not tell. */
let isObserved = false;

const { observe } = PerformanceObserver.prototype;
Object.defineProperty(PerformanceObserver.prototype, 'observe', {
  ...Object.getOwnPropertyDescriptor(PerformanceObserver.prototype, 'observe'),
  value: {
    observe(this: PerformanceObserver, options: { type?: string; entryTypes?: readonly string[] } = {}): void {
      Reflect.apply(observe, this, [options]);
      if (options.type === 'http' || options.entryTypes?.includes('http')) isObserved = true;
    },
  }.observe,
});

/** `isCreationHeard`: node's would be published as well as ours. */
export function startPerf(response: NativeResponse, isCreationHeard: boolean): void {
  if (isObserved && !isCreationHeard) response[kShadow] = Reflect.construct(NodeServerResponse, [response.req]);
}

export function stopPerf(response: NativeResponse): void {
  const shadow = response[kShadow];
  if (shadow === null) return;
  const { statusCode, statusMessage } = response;
  Object.assign(shadow, { statusCode, statusMessage, socket: {}, getHeaders: () => response.getHeaders() });
  nodeMethods['_finish']?.call(shadow);
}
