export class GammaloopError extends Error {
  readonly code: string;

  constructor(code: string, message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
  }

  override get name(): string {
    return this.constructor.name;
  }
}

/** Of one class whose codes are several. */
export class CodedError<Code extends string> extends GammaloopError {
  declare readonly code: Code;

  constructor(code: Code, message: string, options?: ErrorOptions) {
    super(code, message, options);
  }
}
