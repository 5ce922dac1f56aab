// Node's own parser (llhttp, strict) over a whole connection's input. The parser object is the one that node:http uses.
import { createRequire } from 'node:module';
import type { Message, Outcome } from './outcome.js';

interface NodeParser {
  [callback: number]: unknown;
  initialize(type: number, resource: object, maxHeaderSize: number, lenientFlags: number): void;
  execute(bytes: Buffer): number | (Error & { code: string; reason: string });
  finish(): unknown;
}
interface NodeParserClass {
  new (): NodeParser;
  readonly REQUEST: number;
  readonly kOnHeaders: number;
  readonly kOnHeadersComplete: number;
  readonly kOnBody: number;
  readonly kOnMessageComplete: number;
}

const emitWarning = process.emitWarning;
process.emitWarning = () => {}; // _http_common is deprecated for users; here it is the thing under comparison
const { HTTPParser, methods } = createRequire(import.meta.url)('_http_common') as {
  HTTPParser: NodeParserClass;
  methods: readonly string[];
};
/** The parser numbers all methods that it knows; newer versions of node hide that list and export only HTTP's. */
function methodTable(): readonly string[] {
  try {
    const binding = (process as unknown as { binding(name: string): { allMethods?: readonly string[] } }).binding(
      'http_parser',
    );
    return binding.allMethods ?? methods;
  } catch {
    return methods;
  }
}
const methodNames = methodTable();
process.emitWarning = emitWarning;

const maxHeaderBytes = 64 * 1024;

export function nodeOutcome(input: Buffer): Outcome {
  const messages: Message[] = [];
  let current: Message | undefined;
  let stopped: Outcome['state'] | undefined;
  let url = '';
  let fields: string[] = [];
  const parser = new HTTPParser();
  parser.initialize(HTTPParser.REQUEST, {}, maxHeaderBytes, 0);
  // Called when many headers, or trailers, are handed over ahead of the message's completion.
  parser[HTTPParser.kOnHeaders] = (headers: string[], urlPart: string) => {
    if (current) current.trailers.push(...headers);
    else {
      fields.push(...headers);
      url += urlPart;
    }
  };
  parser[HTTPParser.kOnHeadersComplete] = (
    major: number,
    minor: number,
    headers: string[] | undefined,
    method: number,
    target: string | undefined,
    _status: unknown,
    _text: unknown,
    upgrade: boolean,
    keepAlive: boolean,
  ) => {
    if (stopped) return 0;
    current = {
      method: methodNames[method] ?? `#${method}`,
      target: target ?? url,
      minor: major === 1 ? String(minor) : `${major}.${minor}`,
      keepAlive,
      upgrade,
      headers: headers ?? fields,
      body: '',
      trailers: [],
      complete: false,
    };
    fields = [];
    url = '';
    messages.push(current);
    return 0;
  };
  parser[HTTPParser.kOnBody] = (bytes: Buffer) => {
    if (current && !stopped) current.body += bytes.toString('latin1');
  };
  parser[HTTPParser.kOnMessageComplete] = () => {
    if (stopped || !current) return;
    current.complete = true;
    if (current.upgrade) stopped = 'upgraded';
    else if (!current.keepAlive) stopped = 'closed';
    current = undefined;
  };
  const result = parser.execute(input);
  if (stopped) return { messages, state: stopped, error: '', consumed: 0 };
  if (typeof result !== 'number') {
    if (current && result.reason === 'Request has invalid `Transfer-Encoding`') {
      messages.pop(); // found behind the head, which is handed over first: a refusal of the head all the same
      current = undefined;
    }
    return {
      messages,
      state: current ? 'body-error' : 'head-error',
      error: `${result.code}: ${result.reason}`,
      consumed: 0,
    };
  }
  if (current) return { messages, state: 'body-incomplete', error: '', consumed: 0 };
  const idle = parser.finish() === undefined; // an error in the middle of a message
  return { messages, state: idle ? 'idle' : 'head-incomplete', error: '', consumed: 0 };
}
