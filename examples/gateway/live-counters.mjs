// The counters as server-sent events, for everybody who watches: at most ten a second, and only when they have changed.
import { Response } from 'gammaloop';

const PERIOD_MS = 100;
const encoder = new TextEncoder();

export class LiveCounters {
  #controllers = new Set();
  #timer = null;
  #last = '';
  #ended = false;
  #read;

  /** `read` gives the data of an event. */
  constructor(read) {
    this.#read = read;
  }

  open() {
    if (this.#ended) return new Response('The gateway is stopping\n', { status: 503 });
    let controller;
    const body = new ReadableStream({
      start: (created) => {
        controller = created;
        controller.enqueue(encoder.encode(`retry: 1000\n\ndata: ${this.#read()}\n\n`));
        this.#controllers.add(controller);
        this.#timer ??= setInterval(() => this.#tick(), PERIOD_MS);
      },
      // The client has gone.
      cancel: () => this.#remove(controller),
    });
    return new Response(body, { headers: { 'content-type': 'text/event-stream', 'cache-control': 'no-store' } });
  }

  /** Ends every stream, for good, with the latest counters. */
  end() {
    this.#ended = true;
    this.#tick();
    for (const controller of this.#controllers) {
      this.#remove(controller);
      controller.close();
    }
  }

  #remove(controller) {
    this.#controllers.delete(controller);
    if (this.#controllers.size > 0) return;
    clearInterval(this.#timer);
    this.#timer = null;
  }

  #tick() {
    const data = this.#read();
    if (data === this.#last) return;
    const event = encoder.encode(`data: ${data}\n\n`);
    // Who does not keep up is waited for: the newest counters are all that matters.
    const slow = [...this.#controllers].filter(({ desiredSize }) => desiredSize <= 0);
    for (const controller of this.#controllers) if (!slow.includes(controller)) controller.enqueue(event);
    this.#last = slow.length === 0 ? data : '';
  }
}
