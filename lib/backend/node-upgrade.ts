import type { Socket } from 'node:net';
import type { SessionOptions, WebSocketListener } from '../ws/contract.js';
import type { TopicTable } from '../ws/topics.js';
import { NodeWebSocketSession } from './node-websocket.js';
import type { StrictHead } from './strict-head.js';

/** A request whose connection may become a WebSocket (RFC 6455 section 4.1): what comes behind it may be no HTTP. */
export function asksForWebSocket(head: StrictHead): boolean {
  if (head.method !== 'GET' || head.versionMinor !== 1 || head.chunked || head.contentLength > 0) return false;
  const { fields } = head;
  for (let i = 0; i < fields.length; i += 2) {
    const name = fields[i] as string;
    if (name.length === 7 && name.toLowerCase() === 'upgrade' && /websocket/i.test(fields[i + 1] as string))
      return true;
  }
  return false;
}

/** What the application accepts a WebSocket with. */
export interface Acceptance {
  readonly headerBlock: string;
  readonly options: SessionOptions;
  readonly listener: WebSocketListener;
}

export interface UpgradedHost {
  readonly topics: TopicTable<NodeWebSocketSession>;
  countBytes(received: number, sent: number): void;
  onUpgradedClosed(connection: UpgradedConnection): void;
}

/** A connection that has become a WebSocket. Owned by the NodeServer. */
export class UpgradedConnection {
  readonly activeExchanges: readonly never[] = [];
  readonly session: NodeWebSocketSession;

  /** Answers 101. */
  constructor(socket: Socket, head: Buffer, acceptance: Acceptance, host: UpgradedHost) {
    const { headerBlock, options, listener } = acceptance;
    const { bytesRead, bytesWritten } = socket;
    socket.write(
      `HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: Upgrade\r\n${headerBlock}\r\n`,
      'latin1',
    );
    this.session = new NodeWebSocketSession(socket, head, options, listener, host.topics);
    socket.on('close', () => {
      host.countBytes(socket.bytesRead - bytesRead, socket.bytesWritten - bytesWritten);
      host.onUpgradedClosed(this);
    });
  }

  /** The server has begun to close. */
  beginClose(): void {
    this.session.close(1001, '');
  }

  /** The server's deadline has passed. */
  cut(): void {
    this.session.terminate();
  }
}
