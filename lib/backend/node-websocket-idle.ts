/** Silence of WebSockets, counted in ticks of timers that many share: hearing something costs a session one assignment. */

export interface Watched {
  /** Ticks since something was heard. */
  silentTicks: number;
  onTick(): void;
}

const TICKS_A_PERIOD = 8;
const TICK_MS_MIN = 20;
const TICK_MS_MAX = 1000;

export class IdleWatch {
  readonly tickMs: number;
  readonly #watched = new Set<Watched>();
  #timer: NodeJS.Timeout | null = null;

  private constructor(tickMs: number) {
    this.tickMs = tickMs;
  }

  static readonly #all = new Map<number, IdleWatch>();

  /** One that ticks a few times in `periodMs`. */
  static for(periodMs: number): IdleWatch {
    const tickMs = Math.min(TICK_MS_MAX, Math.max(TICK_MS_MIN, Math.floor(periodMs / TICKS_A_PERIOD)));
    let watch = IdleWatch.#all.get(tickMs);
    if (watch === undefined) {
      watch = new IdleWatch(tickMs);
      IdleWatch.#all.set(tickMs, watch);
    }
    return watch;
  }

  add(watched: Watched): void {
    this.#watched.add(watched);
    this.#timer ??= setInterval(() => this.#tick(), this.tickMs).unref();
  }

  delete(watched: Watched): void {
    this.#watched.delete(watched);
    if (this.#watched.size > 0 || this.#timer === null) return;
    clearInterval(this.#timer);
    this.#timer = null;
  }

  #tick(): void {
    for (const watched of this.#watched) {
      watched.silentTicks += 1;
      watched.onTick();
    }
  }
}
