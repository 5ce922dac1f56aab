/** gammaloop/selector: readiness of any descriptors. docs/selector.md. */
export { SelectorError } from '../errors.js';
export { addReader, addWriter, type ReadinessCallback, removeReader, removeWriter } from './readers.js';
export {
  type HasDescriptor,
  Interest,
  type PollerName,
  Readiness,
  type ReadyEvent,
  Selector,
  type SelectorKey,
  type SelectorOptions,
  wakeSelector,
} from './selector.js';
