/** A broker port's way in: frames become envelopes for their subscribers. What cannot be read is counted, and who waits is told; what nobody takes any more goes on. */
import { type Envelope, failureOf } from '../correlation/envelope.js';
import { PayloadError } from '../errors.js';
import { deadLetter } from './broker-refusals.js';
import { type Deliveries, type Delivery, keyOf } from './deliveries.js';
import { type DecodedFrame, decodeFrame } from './frame.js';
import type { SubscribedChannel } from './subscribed-channel.js';

/** What it wants of its port. */
export interface InboundPort {
  isClosed(): boolean;
  countReceived(): void;
  send(envelope: Envelope): void;
  learnRoute(replyTo: string, route: string): void;
}

export class Inbound {
  readonly #deliveries: Deliveries | null;
  readonly #port: InboundPort;
  /** Messages, or payloads. */
  unreadable = 0;

  /** `deliveries`: of durable work; null where there is none. */
  constructor(deliveries: Deliveries | null, port: InboundPort) {
    this.#deliveries = deliveries;
    this.#port = port;
  }

  /** One frame, or several. */
  received(channel: SubscribedChannel, message: Uint8Array, route: string | undefined): void {
    const now = performance.now();
    for (let at = 0; at < message.length; ) {
      const decoded = decodeFrame(message, now, at);
      if (decoded === null) {
        this.unreadable++;
        return;
      }
      at = decoded.end;
      this.#receivedFrame(channel, decoded, route);
    }
  }

  #receivedFrame(
    channel: SubscribedChannel,
    { envelope, payloadError }: DecodedFrame,
    route: string | undefined,
  ): void {
    this.#learnRoute(envelope, route);
    if (channel.members.length === 0) {
      // It came while the subscription was given up: to another member of the group, or back.
      if (channel.group !== undefined) this.#port.send(envelope);
    } else if (payloadError !== undefined) {
      this.#unreadablePayload(channel, envelope, payloadError);
    } else {
      this.deliver(channel, envelope);
    }
  }

  /** Durable work. */
  delivered(channel: SubscribedChannel, frame: Uint8Array, delivery: Delivery, route: string | undefined): void {
    const decoded = decodeFrame(frame, performance.now());
    if (decoded === null) {
      this.unreadable++;
      delivery.bury('not readable');
      return;
    }
    const { envelope } = decoded;
    this.#learnRoute(envelope, route);
    if (this.#deliveries === null || channel.members.length === 0) {
      delivery.retry();
    } else if (decoded.payloadError !== undefined) {
      delivery.bury('its payload cannot be read');
      this.#unreadablePayload(channel, envelope, decoded.payloadError);
    } else {
      const decision = this.#deliveries.begin(keyOf(envelope), envelope, delivery);
      if (decision === 'run') this.deliver(channel, envelope);
      if (decision === 'buried') this.#refuse(envelope, deadLetter(envelope, delivery.attempt - 1));
    }
  }

  #learnRoute({ replyTo }: Envelope, route: string | undefined): void {
    if (route !== undefined && replyTo !== undefined) this.#port.learnRoute(replyTo, route);
  }

  #unreadablePayload(channel: SubscribedChannel, envelope: Envelope, cause: unknown): void {
    this.unreadable++;
    const error = new PayloadError(`The payload of a message for '${envelope.subject}' cannot be read here`, { cause });
    if (envelope.kind === 'request' || envelope.kind === 'stream') {
      this.#refuse(envelope, error);
    } else {
      const answer = failureOf(envelope, error);
      if (answer !== null) this.deliver(channel, answer);
    }
  }

  #refuse(request: Envelope, error: Error): void {
    const answer = failureOf(request, error);
    if (answer !== null) this.#port.send(answer);
  }

  /** To the subscribers of this port. */
  deliver(channel: SubscribedChannel, envelope: Envelope): void {
    if (this.#port.isClosed()) {
      return;
    }
    this.#port.countReceived();
    channel.deliver(envelope);
  }
}
