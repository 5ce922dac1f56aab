/** What the examples with notes are asked, in this order: each on a connection of its own, of which the server sees the end coming. */
const host = 'Host: 127.0.0.1\r\n';
const last = `${host}Connection: close\r\n`;
const json = 'Content-Type: application/json\r\n';
const get = (target: string, fields = '') => `GET ${target} HTTP/1.1\r\n${last}${fields}\r\n`;

function withBody(line: string, fields: string, body: string): string {
  return `${line} HTTP/1.1\r\n${last}${fields}Content-Length: ${Buffer.byteLength(body)}\r\n\r\n${body}`;
}

const post = (body: string, fields = json) => withBody('POST /notes', fields, body);

export const notesRequests: Record<string, string> = {
  'the front page': get('/'),
  'its head': `HEAD / HTTP/1.1\r\n${last}\r\n`,
  'a parameter': get('/notes/1'),
  'a query': get('/notes/1?fields=text&fields=id'),
  'an escaped parameter that is not there': get('/notes/a%20b%2Fc'),
  'an escape that is none': get('/notes/%zz'),
  'a target in absolute form': get('http://127.0.0.1/notes/1'),
  'a new note': post('{"text":"Water the plants"}'),
  'the new note': get('/notes/2'),
  'JSON of several bytes a character': post('{"text":"Käse, 水, 🧀"}'),
  'JSON in chunks': `POST /notes HTTP/1.1\r\n${last}${json}Transfer-Encoding: chunked\r\n\r\n8\r\n{"text":\r\n5\r\n"cut"\r\n1\r\n}\r\n0\r\n\r\n`,
  'JSON after 100-continue': post('{"text":"Asked first"}', `${json}Expect: 100-continue\r\n`),
  'JSON cut short': post('{"text":'),
  'JSON without the field': post('{"txt":"?"}'),
  'no JSON at all': post('text=1', 'Content-Type: text/plain\r\n'),
  'an empty body': post('', json),
  'JSON over the limit': post(`{"text":"${'x'.repeat(11 * 1024)}"}`),
  'another expectation': post('{"text":"?"}', `${json}Expect: tea\r\n`),
  'a first visit': get('/visits'),
  'a later visit': get('/visits', 'Cookie: seen=yes; visits=41\r\n'),
  'cookies in two fields': get('/visits', 'Cookie: seen=yes\r\nCookie: visits=7\r\n'),
  'a redirect': get('/old'),
  'a file': get('/files/note.html'),
  'the head of a file': `HEAD /files/note.html HTTP/1.1\r\n${last}\r\n`,
  'a file that has not changed': get('/files/note.html', 'If-Modified-Since: Fri, 01 Jan 2100 00:00:00 GMT\r\n'),
  'a part of a file': get('/files/note.html', 'Range: bytes=0-14\r\n'),
  'a part beyond the end': get('/files/note.html', 'Range: bytes=100000-\r\n'),
  'a file that is not there': get('/files/none.html'),
  'a file above the folder': get('/files/../app.mjs'),
  'the same, escaped': get('/files/%2e%2e/app.mjs'),
  'a streamed answer': get('/stream'),
  'the head of a streamed answer': `HEAD /stream HTTP/1.1\r\n${last}\r\n`,
  'a streamed answer for HTTP/1.0': 'GET /stream HTTP/1.0\r\n\r\n',
  'an upload': withBody('PUT /upload', 'Content-Type: application/octet-stream\r\n', 'u'.repeat(300_000)),
  'a handler that throws': get('/error'),
  'the next request after it': get('/'),
  'a route that is not there': get('/nowhere'),
  'a method that the route has not': withBody('DELETE /notes/1', '', ''),
  'OPTIONS of a route': `OPTIONS /notes/1 HTTP/1.1\r\n${last}\r\n`,
  'OPTIONS *': `OPTIONS * HTTP/1.1\r\n${last}\r\n`,
  'a method of WebDAV': `PROPFIND / HTTP/1.1\r\n${last}\r\n`,
  'a method that nobody knows': `BREW / HTTP/1.1\r\n${last}\r\n`,
  'HTTP/1.0': 'GET /notes/1 HTTP/1.0\r\n\r\n',
  'HTTP/1.0 that would stay, then leaves': `GET /notes/1 HTTP/1.0\r\nConnection: keep-alive\r\n\r\nGET / HTTP/1.0\r\n\r\n`,
  'no host': 'GET / HTTP/1.1\r\nConnection: close\r\n\r\n',
  'a field name with a space': `GET / HTTP/1.1\r\n${host}Bad Field: 1\r\n\r\n`,
  'two lengths': `POST /notes HTTP/1.1\r\n${host}Content-Length: 1\r\nContent-Length: 2\r\n\r\n{}`,
  'a length and chunks': `POST /notes HTTP/1.1\r\n${host}Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n`,
  'no HTTP': 'HELLO\r\n\r\n',
  'a head that is too large': get('/', `X-Large: ${'x'.repeat(20_000)}\r\n`),
  'three in one write': `GET /notes/1 HTTP/1.1\r\n${host}\r\n${post('{"text":"Second"}').replace('Connection: close\r\n', '')}${get('/visits')}`,
  'a slow one before a quick one': `GET /stream HTTP/1.1\r\n${host}\r\n${get('/')}`,
  'a bad one after a good one': `GET /notes/1 HTTP/1.1\r\n${host}\r\nNO HTTP\r\n\r\n`,
};
