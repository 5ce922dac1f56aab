/** Small plain objects and arrays as JSON: several times cheaper than V8's own cloning, and the same to who gets them. */

const MAX_OBJECTS = 16;
const MAX_VALUES = 256;

/** Decides for one job at a time, so that what stands twice in it is seen. */
export class SmallJson {
  readonly #seen: object[] = [];
  #values = 0;

  begin(): void {
    if (this.#seen.length > 0) {
      this.#seen.length = 0;
    }
    this.#values = 0;
  }

  /** The text; null where JSON would not give back the same, or the value is not small. */
  textOf(value: object): string | null {
    return this.#isPlain(value) ? JSON.stringify(value) : null;
  }

  #isPlain(value: unknown): boolean {
    switch (typeof value) {
      case 'string':
      case 'boolean':
        return true;
      case 'number':
        return Number.isFinite(value) && !Object.is(value, -0);
      case 'object':
        return value === null || (Array.isArray(value) ? this.#isPlainArray(value) : this.#isPlainObject(value));
      default:
        return false;
    }
  }

  #isPlainArray(array: readonly unknown[]): boolean {
    const { length } = array;
    if (!this.#enter(array, length) || Object.getPrototypeOf(array) !== Array.prototype) {
      return false;
    }
    for (let index = 0; index < length; index++) {
      if (!this.#isPlain(array[index])) {
        return false;
      }
    }
    // No holes, which read as undefined, are left; nor may there be other properties.
    return Object.keys(array).length === length;
  }

  #isPlainObject(object: object): boolean {
    const prototype = Object.getPrototypeOf(object);
    if (prototype !== Object.prototype && prototype !== null) {
      return false;
    }
    const keys = Object.keys(object);
    if (!this.#enter(object, keys.length)) {
      return false;
    }
    for (const key of keys) {
      if (!this.#isPlain((object as Record<string, unknown>)[key])) {
        return false;
      }
    }
    // Arguments objects and their like have the prototype, and are none.
    return Object.prototype.toString.call(object) === '[object Object]';
  }

  #enter(object: object, values: number): boolean {
    this.#values += values;
    if (this.#values > MAX_VALUES || this.#seen.length === MAX_OBJECTS || this.#seen.includes(object)) {
      return false;
    }
    this.#seen.push(object);
    return true;
  }
}
