/**
 * Performance entries of type 'http' ('HttpRequest'), which only node's own response can make: while somebody observes them, one of node's stands
 * beside each of ours.
 */
import { PerformanceObserver } from 'node:perf_hooks';
import { NodeServerResponse, nodeMethods } from './node-response.js';
import { kShadow, type NativeResponse } from './response-state.js';

/** Has been asked for while installed: node itself does not tell. */
let isObserved = false;

type ObserveOptions = { type?: string; entryTypes?: readonly string[] };
const nodes = Object.getOwnPropertyDescriptor(PerformanceObserver.prototype, 'observe') as PropertyDescriptor;
const { observe } = {
  observe(this: PerformanceObserver, options: ObserveOptions = {}): void {
    Reflect.apply(nodes.value as () => void, this, [options]);
    if (options.type === 'http' || options.entryTypes?.includes('http')) isObserved = true;
  },
};

/** Listens for observers from now on; returns what ends it. */
export function watchObservers(): () => void {
  const { prototype } = PerformanceObserver;
  if (prototype.observe !== nodes.value) return () => {};
  Object.defineProperty(prototype, 'observe', { ...nodes, value: observe });
  return () => {
    if (prototype.observe === observe) Object.defineProperty(prototype, 'observe', nodes);
  };
}

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
