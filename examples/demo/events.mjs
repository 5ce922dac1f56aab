// Server-sent events: one a second to everybody who listens. One timer serves all, and stands only while someone listens.
import { Response } from 'gammaloop';

const PERIOD_MS = 1000;
const encoder = new TextEncoder();

export class EventStreams {
  #controllers = new Set();
  #timer = null;
  #count = 0;
  #ended = false;
  #read;

  /** `read` gives the data of an event. */
  constructor(read) {
    this.#read = read;
  }

  /** A response that gets an event at once, and then one a second until its client goes. */
  open() {
    if (this.#ended) {
      return new Response('The server is stopping\n', { status: 503 });
    }
    let controller;
    const body = new ReadableStream({
      start: (created) => {
        controller = created;
        controller.enqueue(encoder.encode(`retry: 1000\n\n${this.#next()}`));
        this.#add(controller);
      },
      // The client has gone.
      cancel: () => this.#remove(controller),
    });
    return new Response(body, { headers: { 'content-type': 'text/event-stream', 'cache-control': 'no-store' } });
  }

  /** Ends every stream, for good, and says how many there were. */
  end() {
    this.#ended = true;
    const controllers = [...this.#controllers];
    for (const controller of controllers) {
      this.#remove(controller);
      controller.close();
    }
    return controllers.length;
  }

  #add(controller) {
    this.#controllers.add(controller);
    this.#timer ??= setInterval(() => this.#tick(), PERIOD_MS);
  }

  #remove(controller) {
    this.#controllers.delete(controller);
    if (this.#controllers.size === 0) {
      clearInterval(this.#timer);
      this.#timer = null;
    }
  }

  #tick() {
    const event = encoder.encode(this.#next());
    for (const controller of this.#controllers) {
      // A client that does not keep up misses events; they do not pile up for it.
      if (controller.desiredSize > 0) {
        controller.enqueue(event);
      }
    }
  }

  #next() {
    this.#count++;
    return `id: ${this.#count}\ndata: ${JSON.stringify(this.#read())}\n\n`;
  }
}
