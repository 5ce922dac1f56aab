/** examples/gateway/server.mjs in a process of its own, and its counters. */
import type { BackendName } from '../support/backends.js';
import { ExampleProcess } from '../support/example-process.js';

export interface Tasks {
  running: number;
  started: number;
  finished: number;
  cancelled: number;
  failed: number;
}

export interface Counters {
  requests: {
    open: number;
    opened: number;
    answered: number;
    failed: number;
    outOfTime: number;
    hungUp: number;
    broken: number;
  };
  tasks: Tasks & { lost: number };
  workers: (Tasks & { pid: number })[];
  replaced: number;
}

export class GatewayProcess extends ExampleProcess {
  constructor(backend: BackendName, env?: Record<string, string>) {
    super('gateway/server.mjs', backend, env);
  }

  async get(path: string, init?: RequestInit): Promise<{ status: number; body: Record<string, unknown> }> {
    const response = await fetch(this.url + path, init);
    return { status: response.status, body: (await response.json()) as Record<string, unknown> };
  }

  async counters(): Promise<Counters> {
    return (await this.get('/counters')).body as unknown as Counters;
  }

  /** Asks for the counters, again and again, until they are as wanted; the test's own timeout is the limit. */
  async countersWhere(wanted: (counters: Counters) => boolean): Promise<Counters> {
    for (;;) {
      const counters = await this.counters();
      if (wanted(counters)) return counters;
    }
  }

  /** Until nothing is in flight on either side; each request and each task has then ended in one way. */
  async idle(): Promise<Counters> {
    const counters = await this.countersWhere(({ requests, tasks }) => requests.open === 0 && tasks.running === 0);
    const { opened, answered, failed, outOfTime, hungUp, broken } = counters.requests;
    if (answered + failed + outOfTime + hungUp + broken !== opened) throw new Error(JSON.stringify(counters));
    const { tasks } = counters;
    if (tasks.finished + tasks.cancelled + tasks.failed + tasks.lost !== tasks.started) {
      throw new Error(JSON.stringify(counters));
    }
    return counters;
  }

  /** The process ids that it printed at its start. */
  get workers(): number[] {
    return (/workers: ([\d, ]+)/.exec(this.stdout)?.[1] ?? '').split(', ').map(Number);
  }
}

export async function startGateway(backend: BackendName, env?: Record<string, string>): Promise<GatewayProcess> {
  return new GatewayProcess(backend, env).started();
}

export interface ReportEvent {
  name: string;
  data: Record<string, unknown>;
}

/** The events of a report, as they come. */
export async function* eventsOf(response: Response): AsyncGenerator<ReportEvent> {
  let text = '';
  const decoder = new TextDecoder();
  for await (const chunk of response.body as ReadableStream<Uint8Array>) {
    text += decoder.decode(chunk, { stream: true });
    const events = text.split('\n\n');
    text = events.pop() as string;
    for (const event of events) {
      const match = /^event: (\w+)\ndata: (\{.*\})$/.exec(event);
      if (match === null) throw new Error(`no event: ${JSON.stringify(event)}`);
      yield { name: match[1] as string, data: JSON.parse(match[2] as string) };
    }
  }
}
