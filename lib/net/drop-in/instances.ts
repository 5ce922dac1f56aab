/**
 * Makes `value instanceof ours` true of all that is an instance of node's class: what node made itself, or derives from it, is one of ours to programs.
 * Classes that are derived from `ours` are asked in the ordinary way.
 */
export function countInstancesOf(nodes: object, ours: object): void {
  Object.defineProperty(ours, Symbol.hasInstance, {
    configurable: true,
    value(this: object, value: unknown): boolean {
      return Reflect.apply(Function.prototype[Symbol.hasInstance], this === ours ? nodes : this, [value]);
    },
  });
}
