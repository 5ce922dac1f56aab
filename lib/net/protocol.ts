/** Transports and protocols, asyncio's way: a transport moves the bytes of one connection and calls the methods of its protocol. */
import type { Transport } from './transport.js';

/** What a protocol may have, of either kind. Each is called on the loop; what it throws aborts the connection and is an uncaughtException. */
export interface BaseProtocol {
  /** First, and once. */
  connectionMade?(transport: Transport): void;
  /** The peer has ended its side. True keeps ours open; else the transport closes after what was written. */
  eofReceived?(): unknown;
  /** Last, and once. Null: closed in order, or from here. */
  connectionLost?(error: Error | null): void;
  /** More than the high watermark waits to be sent: write no more. */
  pauseWriting?(): void;
  /** Less than the low one does: go on. */
  resumeWriting?(): void;
}

export interface Protocol extends BaseProtocol {
  /** `data` is the protocol's own: it may keep it. */
  dataReceived?(data: Buffer): void;
}

/** Gives its own memory to receive into, so that nothing is allocated a read. */
export interface BufferedProtocol extends BaseProtocol {
  /**
   * Where to put what has come: at least one byte. Called before each read, which takes no more than fits; the memory is free again after bufferUpdated, or
   * with the next call. `sizeHint`: how much would be good; what comes may be less.
   */
  getBuffer(sizeHint: number): Uint8Array;
  /** `byteCount` bytes stand at the beginning of what getBuffer gave. */
  bufferUpdated(byteCount: number): void;
}

export type AnyProtocol = Protocol | BufferedProtocol;

/** Makes the protocol of each connection. */
export type ProtocolFactory<P extends AnyProtocol = AnyProtocol> = () => P;

export function isBuffered(protocol: AnyProtocol): protocol is BufferedProtocol {
  return 'getBuffer' in protocol && typeof protocol.getBuffer === 'function';
}
