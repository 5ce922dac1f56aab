// A node:test reporter: one JSON line a test. Suites and subtests' parents count as well, as they do in node's own counts.
import { basename } from 'node:path';

export default async function* report(events) {
  for await (const { type, data } of events) {
    if (type !== 'test:pass' && type !== 'test:fail') continue;
    const status = data.skip !== undefined || data.todo !== undefined ? 'skip' : type.slice('test:'.length);
    const error = data.details?.error;
    const name = `${basename(data.file ?? '')}: ${data.name}`;
    yield `${JSON.stringify({ status, name, error: error ? String(error.cause?.stack ?? error.message) : undefined })}\n`;
  }
}
