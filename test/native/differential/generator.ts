// Reproducible connection inputs for the differential test: good requests, some pipelined, most of them then damaged. One seed, one sequence.

export class Random {
  #state: number;
  constructor(seed: number) {
    this.#state = seed >>> 0;
  }
  /** An integer in [0, bound). */
  below(bound: number): number {
    // mulberry32
    this.#state = (this.#state + 0x6d2b79f5) >>> 0;
    let t = this.#state;
    t = Math.imul(t ^ (t >>> 15), t | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) % bound;
  }
  chance(percent: number): boolean {
    return this.below(100) < percent;
  }
  pick<T>(items: readonly T[]): T {
    return items[this.below(items.length)] as T;
  }
}

const methods = [
  'GET',
  'GET',
  'GET',
  'POST',
  'POST',
  'PUT',
  'DELETE',
  'HEAD',
  'OPTIONS',
  'PATCH',
  'M-SEARCH',
  'QUERY',
  'SOURCE',
];
const rareMethods = ['CONNECT', 'PRI', 'DESCRIBE', 'get', 'FOO', 'MKCALENDAR', 'UNSUBSCRIBE', 'ACL', 'LINK'];
const targets = [
  '/',
  '/a/b?c=d',
  '/?q#f',
  '/%41%zz',
  '//x',
  'http://a/',
  'http://a.b:80?x',
  'https://[::1]:1/p',
  '/"<>{}|\\^`',
];
const rareTargets = [
  '*',
  'a:1',
  '[::1]:443',
  'http://u@a/',
  'http://a#b',
  'a',
  '?',
  'http:/a',
  'x1://a/',
  '/\x80',
  '/\t',
  '',
];
const versions = ['HTTP/1.1', 'HTTP/1.1', 'HTTP/1.1', 'HTTP/1.1', 'HTTP/1.1', 'HTTP/1.0'];
const rareVersions = ['HTTP/2.0', 'HTTP/0.9', 'HTTP/1.2', 'http/1.1', 'ICE/1.0', 'RTSP/1.0', 'HTTP/1.1 ', 'HTTP/1'];
const hosts = ['a', 'a', 'example.org:8080', '[::1]', '127.0.0.1:3000', ''];
const rareHosts = ['a b', 'a/b', 'u@a', 'a:b', '[', '\xe4', 'a, b'];
const lines = [
  'X: y',
  'Accept: */*',
  'Cookie: a=b; c="d"',
  'User-Agent: Mozilla/5.0 (X11)',
  'Empty:',
  'Tab:\tx\ty\t',
  'Latin: \xe4\xff\x80',
  `X-Long: ${'v'.repeat(70)}`,
  'Connection: keep-alive',
  'Connection: close',
  'Connection: a, Close ,b',
  'Connection: keep-alive, close',
  'Connection: upgrade',
  'Connection: Upgrade,keep-alive',
  'Upgrade: websocket',
  'Expect: 100-continue',
  'accept-encoding: gzip, br',
  "!#$%&'*+-.^_`|~: odd",
  'Content-Type: text/plain',
  'x:z',
];
const rareLines = [
  'Content-Length: 3',
  'Content-Length: 3, 3',
  'Content-Length: +3',
  'Content-Length: 0x3',
  'Content-Length: ',
  'Content-Length: 9007199254740992',
  'Content-Length: 18446744073709551615',
  'Content-Length: 18446744073709551617',
  'Content-Length: 3 3',
  'Content-Length: 003',
  'Transfer-Encoding: chunked',
  'Transfer-Encoding: gzip, chunked',
  'Transfer-Encoding: chunked, gzip',
  'Transfer-Encoding: gzip',
  'Transfer-Encoding: identity',
  'Transfer-Encoding: xchunked',
  'Transfer-Encoding: chunked,chunked',
  'Transfer-Encoding:',
  'Transfer-Encoding: "chunked"',
  'Host: b',
  'Expect: x',
  'X : y',
  'X',
  ': y',
  ' folded',
  '\tfolded',
  'X: a\x00b',
  'X: a\x7f',
  'X\x80: a',
  'X: a\rb',
  'X: a\nY: b',
  'Content Length: 3',
  'Transfer-Encoding : chunked',
  'Content-Length\t: 3',
  'Proxy-Connection: close',
  'Keep-Alive: 5',
];
const extensions = [';a', ';a=b', ';a="b c"', ';a="\\""', ';a;b=c', ';x="\xe4\t"'];
const rareExtensions = [
  ';',
  ';;a',
  ' ;a',
  '; a',
  ';a=',
  ';=b',
  ';a b',
  ';a="b',
  ';a="b"c',
  ';a=b"c"',
  ' ',
  '\t',
  ';a\x00',
  ';a=;b',
];
const trailers = ['X-Sum: 1', 'Y:', 'Server-Timing: a;dur=1', 'Z: \xe4'];
const rareTrailers = [
  'Content-Length: 5',
  'Transfer-Encoding: chunked',
  'Host: b',
  'X : y',
  ' folded',
  'X: a\x01',
  'bad',
  'Authorization: a',
  'Trailer: x',
  'Connection: close',
  'Cookie: a',
  'Expect: a',
  'Upgrade: x',
];
const insertions = [
  '\r',
  '\n',
  '\r\n',
  '\0',
  ' ',
  ':',
  '\t',
  ',',
  ';',
  '0',
  '\x7f',
  '\x80',
  '\xff',
  '\n\n',
  '\r\n\r\n',
  '\r\n ',
  '"',
  '#',
  '%',
];

function shuffle(random: Random, list: string[]): void {
  for (let i = list.length - 1; i > 0; i--) {
    const j = random.below(i + 1);
    [list[i], list[j]] = [list[j] as string, list[i] as string];
  }
}

function chunkedBody(random: Random): string {
  let text = '';
  for (let count = random.below(4); count > 0; count--) {
    const data = random.pick(['x', 'hello', '\r\n0\r\n\r\n', 'a'.repeat(17), '\x00\xff']);
    let size = data.length.toString(16);
    if (random.chance(20)) size = size.toUpperCase().padStart(random.below(18), '0');
    if (random.chance(3))
      size = random.pick([
        '',
        'g',
        '0x5',
        '-1',
        '+5',
        '5 ',
        'ffffffffffffffff',
        '20000000000000',
        '10000000000000005',
        ' 5',
      ]);
    if (random.chance(25)) size += random.pick(random.chance(25) ? rareExtensions : extensions);
    text += `${size}\r\n${data}${random.chance(2) ? random.pick(['', '\n', '\r', 'x\r\n', '\r\r\n']) : '\r\n'}`;
  }
  text += random.chance(90) ? '0\r\n' : random.pick(['00\r\n', '0;a=b\r\n', '0\n', '0 \r\n', '0;\r\n']);
  for (let count = random.chance(40) ? random.below(3) : 0; count > 0; count--) {
    text += `${random.pick(random.chance(15) ? rareTrailers : trailers)}\r\n`;
  }
  return `${text}\r\n`;
}

function request(random: Random): string {
  let body = '';
  const rare = () => random.chance(2);
  const list: string[] = [];
  if (!rare()) list.push(`${random.pick(['Host', 'host', 'HOST'])}: ${random.pick(rare() ? rareHosts : hosts)}`);
  for (let count = random.below(5); count > 0; count--) list.push(random.pick(random.chance(5) ? rareLines : lines));
  if (random.chance(2)) for (let i = 0; i < 40; i++) list.push(`N${i}: ${i}`); // node hands these over in several batches
  const framing = random.below(10);
  if (framing < 3) {
    body = random.pick(['', 'x', 'hello', 'GET / HTTP/1.1\r\n\r\n', 'y'.repeat(100)]);
    list.push(`${random.pick(['Content-Length', 'content-length'])}: ${body.length}`);
  } else if (framing < 6) {
    body = chunkedBody(random);
    list.push(`Transfer-Encoding: ${random.pick(['chunked', 'chunked', 'Chunked', ' chunked '])}`);
  }
  shuffle(random, list);
  if (rare() && list.length > 0) list.push(random.pick(list));
  const method = random.pick(rare() ? rareMethods : methods);
  const target =
    method === 'CONNECT' && random.chance(70)
      ? random.pick(['a:1', '[::1]:443', 'a'])
      : random.pick(rare() ? rareTargets : targets);
  const version = random.pick(rare() ? rareVersions : versions);
  const lead = rare() ? random.pick(['\r\n', '\r\n\r\n', '\n', '\r', ' ']) : '';
  const lineEnd = rare() ? random.pick(['\n', '\r', '\r\r\n', ' \r\n']) : '\r\n';
  return `${lead}${method} ${target}${rare() ? '' : ` ${version}`}${lineEnd}${list.map((line) => `${line}\r\n`).join('')}\r\n${body}`;
}

function mutate(random: Random, text: string): string {
  const at = random.below(text.length + 1);
  switch (random.below(6)) {
    case 0:
      return text.slice(0, at) + String.fromCharCode(random.below(256)) + text.slice(at + 1);
    case 1:
      return (
        text.slice(0, at) +
        String.fromCharCode((text.charCodeAt(at) || 0) ^ (1 << random.below(8))) +
        text.slice(at + 1)
      );
    case 2:
      return text.slice(0, at) + random.pick(insertions) + text.slice(at);
    case 3:
      return text.slice(0, at) + text.slice(at + 1 + random.below(3));
    case 4:
      return text.slice(0, at);
    default: {
      const parts = text.split('\r\n');
      const one = random.below(parts.length);
      const two = random.below(parts.length);
      if (random.chance(50)) parts.splice(one, 0, parts[two] as string);
      else [parts[one], parts[two]] = [parts[two] as string, parts[one] as string];
      return parts.join('\r\n');
    }
  }
}

/** One connection's input, as latin1 text. */
export function generateCase(random: Random): string {
  let text = request(random);
  while (random.chance(20)) text += request(random);
  if (random.chance(55)) {
    do text = mutate(random, text);
    while (random.chance(30));
  }
  return text;
}
