/** What programs send, as bytes. */

export type Sendable =
  | string
  | number
  | Uint8Array
  | ArrayBuffer
  | ArrayBufferView
  | Blob
  | readonly number[]
  | { valueOf(): unknown };

export function isBlob(value: unknown): value is Blob {
  if (typeof value !== 'object' || value === null) return false;
  const { arrayBuffer, stream, type } = value as Partial<Blob>;
  if (typeof arrayBuffer !== 'function' || typeof stream !== 'function' || typeof type !== 'string') return false;
  const tag = (value as { [Symbol.toStringTag]?: string })[Symbol.toStringTag];
  return tag === 'Blob' || tag === 'File';
}

/** Views share the memory. Throws TypeError where Buffer.from does. */
export function toBytes(data: Exclude<Sendable, string | Blob>): Uint8Array {
  if (data instanceof Uint8Array) return data;
  if (data instanceof ArrayBuffer || data instanceof SharedArrayBuffer) return new Uint8Array(data);
  if (ArrayBuffer.isView(data)) return new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
  return Buffer.from(data as never);
}

/** Of what is not sent any more, in bytes. */
export function sizeOf(data: unknown): number {
  if (typeof data === 'number') return String(data).length;
  if (!data) return 0;
  if (isBlob(data)) return data.size;
  return typeof data === 'string' ? Buffer.byteLength(data) : toBytes(data as never).length;
}
