// What the page does: follows /events, and sends a request for each form.
import { Chart } from './chart.js';

const BURST = 300;
/** So many characters of an echoed text are shown. */
const SHOWN_CHARACTERS = 4000;

const byId = (id) => document.getElementById(id);

function followEvents() {
  const rate = live('rate', (value) => `${Math.round(value)}`);
  const open = live('open', (value) => `${value}`);
  const gap = live('gap', (value) => `${(value / 1000).toFixed(2)} s`);
  let before = null;

  const source = new EventSource('/events');
  source.onopen = () => showConnection('connected');
  source.onerror = () => {
    before = null;
    showConnection(source.readyState === EventSource.CLOSED ? 'lost' : 'reconnecting');
  };
  source.onmessage = ({ data }) => {
    const now = performance.now();
    const { stats } = JSON.parse(data);
    byId('backend').textContent = `${stats.backend} backend${stats.poller === '' ? '' : `, ${stats.poller}`}`;
    open(stats.connections.open);
    if (before !== null) {
      const elapsedMs = now - before.at;
      gap(elapsedMs);
      rate(((stats.requests.received - before.received) * 1000) / elapsedMs);
    }
    before = { at: now, received: stats.requests.received };
  };
}

/** Shows values as a number and as a line. */
function live(id, format) {
  const chart = new Chart(byId(`${id}-chart`), format);
  return (value) => {
    byId(id).textContent = format(value);
    byId(`${id}-most`).textContent = `at most ${format(chart.push(value))}`;
  };
}

function showConnection(state) {
  byId('dot').dataset.state = state;
  byId('connection').textContent = state;
}

/** Runs `work` when the form is sent; its result or error is shown in `output`. */
function onSubmit(form, output, work) {
  form.addEventListener('submit', (event) => {
    event.preventDefault();
    run(form, output, work);
  });
}

/** One at a time for each form. Its buttons are not disabled meanwhile: they would lose the focus. */
async function run(form, output, work) {
  if (form.ariaBusy === 'true') return;
  form.ariaBusy = 'true';
  output.dataset.state = 'waiting';
  output.textContent = 'waiting …';
  try {
    output.textContent = await work(new FormData(form));
    output.dataset.state = 'done';
  } catch (error) {
    output.textContent = `Failed: ${error.message}`;
    output.dataset.state = 'failed';
  } finally {
    form.ariaBusy = 'false';
  }
}

async function timed(path) {
  const start = performance.now();
  const response = await fetch(path);
  const text = await response.text();
  return { status: response.status, text: text.trimEnd(), ms: performance.now() - start };
}

function wireRequests() {
  for (const form of document.querySelectorAll('form[data-path]')) {
    onSubmit(form, form.querySelector('output'), async (fields) => {
      const query = fields.has('ms') ? `?ms=${fields.get('ms')}` : '';
      const { status, text, ms } = await timed(form.dataset.path + query);
      return `${status} in ${ms.toFixed(1)} ms\n${text}`;
    });
  }
  const burst = byId('burst');
  burst.textContent = `Send ${BURST}`;
  burst.addEventListener('click', () => run(burst.form, burst.form.querySelector('output'), sendBurst));
}

async function sendBurst() {
  const start = performance.now();
  const results = await Promise.all(Array.from({ length: BURST }, () => timed('/json')));
  const times = results.map(({ ms }) => ms).sort((a, b) => a - b);
  const failed = results.filter(({ status }) => status !== 200).length;
  const median = times[times.length >> 1].toFixed(1);
  return `${BURST} requests in ${Math.round(performance.now() - start)} ms, median ${median} ms, ${failed} failed`;
}

/** The answer is shown as it arrives. */
function wireEcho() {
  const result = byId('echo-result');
  onSubmit(byId('echo'), byId('echo-summary'), async (fields) => {
    result.textContent = '';
    const sent = byId('echo-text').value.repeat(Number(fields.get('times')));
    const start = performance.now();
    const { body } = await fetch('/echo', { method: 'POST', body: sent, headers: { 'content-type': 'text/plain' } });
    const decoder = new TextDecoder();
    let received = '';
    let chunks = 0;
    let bytes = 0;
    for (const reader = body.getReader(); ; ) {
      const { done, value } = await reader.read();
      if (done) break;
      chunks++;
      bytes += value.length;
      received += decoder.decode(value, { stream: true });
      if (result.textContent.length < SHOWN_CHARACTERS) result.textContent = shorten(received);
    }
    const ms = (performance.now() - start).toFixed(1);
    return `${received === sent ? 'same text back' : 'a DIFFERENT text came back'}: ${bytes} bytes in ${chunks} ${chunks === 1 ? 'chunk' : 'chunks'}, ${ms} ms`;
  });
}

function shorten(text) {
  return text.length <= SHOWN_CHARACTERS ? text : `${text.slice(0, SHOWN_CHARACTERS)} … (the rest is not shown)`;
}

followEvents();
wireRequests();
wireEcho();
