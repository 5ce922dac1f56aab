/**
 * Publishing without an answer of the server, which would wake this process for nothing: CLIENT REPLY SKIP before the command. The client knows nothing of it, for it awaits an
 * answer to every command: the bytes go to its socket between those of its own commands.
 */
import type { Redis } from 'ioredis';

const SKIP = '*3\r\n$6\r\nCLIENT\r\n$5\r\nREPLY\r\n$4\r\nSKIP\r\n';
/** To the channel ARGV[1]; where nobody has heard of it, to ARGV[2]. By its text, for a server that has lost a script would not tell. */
const SCRIPT = `if redis.call('PUBLISH',ARGV[1],ARGV[3])==0 then redis.call('PUBLISH',ARGV[2],ARGV[3])end`;

const PUBLISH = `${SKIP}*3\r\n$7\r\nPUBLISH\r\n`;
const PUBLISH_OR_RETURN = `${SKIP}*6\r\n$4\r\nEVAL\r\n${bulk(SCRIPT)}${bulk('0')}`;

export class QuietPublisher {
  readonly #redis: Redis;

  /** Null where the server does not have it: a proxy may not know it, or the user lack the right. */
  static async open(redis: Redis): Promise<QuietPublisher | null> {
    return redis.call('CLIENT', 'REPLY', 'ON').then(
      () => new QuietPublisher(redis),
      () => null,
    );
  }

  private constructor(redis: Redis) {
    this.#redis = redis;
  }

  publish(channel: string, message: Buffer): void {
    this.#write(PUBLISH + bulk(channel), message);
  }

  /** To the channel `back` where nobody subscribes to `channel`. */
  publishOrReturn(channel: string, back: string, message: Buffer): void {
    this.#write(PUBLISH_OR_RETURN + bulk(channel) + bulk(back), message);
  }

  /** A command whose last argument is `message`. */
  #write(before: string, message: Buffer): void {
    const { stream } = this.#redis;
    // The connection goes: what is sent on it is lost with it.
    if (!stream.writable) return;
    const head = `${before}$${message.length}\r\n`;
    const headBytes = Buffer.byteLength(head);
    const end = headBytes + message.length;
    const command = Buffer.allocUnsafe(end + 2);
    command.utf8Write(head, 0);
    command.set(message, headBytes);
    command[end] = 0x0d;
    command[end + 1] = 0x0a;
    stream.write(command);
  }
}

function bulk(text: string): string {
  return `$${Buffer.byteLength(text)}\r\n${text}\r\n`;
}
