/**
 * `gammaloop worker tasks.js --port nats://127.0.0.1:4222`: a runner behind a responder. A request for the subject names a function of the module and its arguments,
 * `{ task, args }`; cancellation, deadline and trace reach the task. SIGTERM and SIGINT drain: nothing new is taken, what runs is answered, then it ends.
 */
import { availableParallelism } from 'node:os';
import { basename, extname, resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import { parseArgs } from 'node:util';
import { type Envelope, type HandlerContext, Responder } from '../correlation/index.js';
import { OptionError, PayloadError } from '../errors.js';
import type { BrokerPort } from '../ports/broker.js';
import { Runner } from '../runner/index.js';
import { CommandError } from './command-error.js';
import { openPort } from './open-port.js';

const HELP = `Usage: gammaloop worker <module> --port <url> [options]

  --port <url>           nats://host:4222, amqp://host:5672 or redis://host:6379 (nats+tls:, amqps:, rediss: with TLS)
  --subject <name>       what it answers; default the module's name without its extension
  --prefix <name>        of the port's names on the broker; default gl
  --durable              at-least-once delivery
  --ack-wait <ms>        durable: after which the work of a worker that died goes to another; default 30000
  --threads <n>          worker threads; default the processors of the machine
  --concurrency <n>      requests at a time; default one for each thread
  --drain <ms>           what SIGTERM leaves running requests; default 30000

A request's payload is { task: 'name', args: [...] }; the reply is what the function returns.`;

interface Settings {
  readonly module: URL;
  readonly subject: string;
  readonly threads: number | undefined;
  readonly concurrency: number | undefined;
  readonly drainMs: number;
  readonly port: BrokerPort;
}

export async function worker(args: string[]): Promise<void> {
  const settings = await settingsOf(args);
  if (settings === null) {
    console.log(HELP);
    return;
  }
  const { port, subject, drainMs } = settings;
  const runner = new Runner({
    module: settings.module,
    ...(settings.threads === undefined ? {} : { threads: settings.threads }),
  });
  // A module that cannot be loaded is told now, and not by each request.
  await runner.start();
  const responder = new Responder(port, subject, (message, context) => run(runner, message, context), {
    concurrency: settings.concurrency ?? runner.stats().threads.ready,
  });
  port.onClose((error) => {
    if (error === undefined) return;
    console.error(`gammaloop: ${error.message}: ${(error.cause as Error | undefined)?.message ?? ''}`);
    process.exit(1);
  });
  let stopping = false;
  const stop = async (signal: string): Promise<void> => {
    stopping = true;
    console.error(`gammaloop: ${signal}: draining`);
    const { drained, cut } = await responder.close({ deadline: drainMs });
    await port.close();
    await runner.close({ deadline: 0 });
    console.error(`gammaloop: ${drained} answered, ${cut} cut`);
    process.exit(0);
  };
  for (const signal of ['SIGTERM', 'SIGINT']) process.once(signal, () => void stop(signal));
  if (!port.stats().connected) console.error(`gammaloop: waiting for the broker (${port.kind})`);
  // Until it is there, or a signal has closed the port.
  await port.ready(Number.POSITIVE_INFINITY).catch((error: unknown) => {
    if (!stopping) throw error;
  });
  if (stopping) return;
  console.error(`gammaloop: worker ${process.pid} answers '${subject}' through ${port.kind}`);
}

function run(runner: Runner, { payload }: Envelope, context: HandlerContext): Promise<unknown> {
  const { task, args = [] } = (payload ?? {}) as { task?: unknown; args?: unknown };
  if (typeof task !== 'string' || !Array.isArray(args)) {
    throw new PayloadError("A worker takes { task: 'name', args: [...] }");
  }
  return runner.run(task, args, { signal: context.signal, traceId: context.traceId });
}

/** Null where help was asked for. */
async function settingsOf(args: string[]): Promise<Settings | null> {
  const { values, positionals } = parse(args);
  if (values.help === true) {
    return null;
  }
  const [file, ...rest] = positionals;
  if (file === undefined || rest.length > 0) throw new CommandError(`name one module\n\n${HELP}`);
  if (values.port === undefined) throw new CommandError(`--port is missing\n\n${HELP}`);
  const threads = whole('threads', values.threads);
  const concurrency = whole('concurrency', values.concurrency);
  const drainMs = whole('drain', values.drain) ?? 30_000;
  const ackWait = whole('ack-wait', values['ack-wait']);
  const durable = values.durable === true && {
    prefetch: concurrency ?? threads ?? availableParallelism(),
    ...(ackWait === undefined ? {} : { ackWait }),
  };
  const options = { durable, ...(values.prefix === undefined ? {} : { prefix: values.prefix }) };
  try {
    return {
      module: pathToFileURL(resolve(file)),
      subject: values.subject ?? basename(file, extname(file)),
      threads,
      concurrency,
      drainMs,
      port: await openPort(values.port, options),
    };
  } catch (error) {
    if (error instanceof OptionError) throw new CommandError(error.message);
    throw error;
  }
}

function parse(args: string[]) {
  try {
    return parseArgs({
      args,
      allowPositionals: true,
      options: {
        port: { type: 'string' },
        subject: { type: 'string' },
        prefix: { type: 'string' },
        durable: { type: 'boolean' },
        'ack-wait': { type: 'string' },
        threads: { type: 'string' },
        concurrency: { type: 'string' },
        drain: { type: 'string' },
        help: { type: 'boolean', short: 'h' },
      },
    });
  } catch (error) {
    throw new CommandError(`${(error as Error).message}\n\n${HELP}`);
  }
}

function whole(name: string, text: string | undefined): number | undefined {
  if (text !== undefined && !/^\d{1,9}$/.test(text))
    throw new CommandError(`--${name} takes a whole number, not '${text}'`);
  return text === undefined ? undefined : Number(text);
}
