// The clients: a quick request every 2 ms, whether or not those before have been answered, so that who waits holds nobody back and every wait is
// seen; beside them, some clients at a time who each ask for a report.
import { Agent, get } from 'node:http';

const HELLO_EVERY_MS = 2;
const REPORTS_EVERY_MS = 600;
const REPORTS_AT_A_TIME = 3;
const WARM_UP_MS = 500;

/** Resolves with the milliseconds from sending to the end of the answer. */
function ask(agent, url) {
  return new Promise((resolve, reject) => {
    const sentAt = performance.now();
    get(url, { agent }, (response) => {
      if (response.statusCode !== 200) reject(new Error(`${url} was answered ${response.statusCode}`));
      response.resume().once('end', () => resolve(performance.now() - sentAt));
    }).once('error', reject);
  });
}

/** For so many seconds. `reportMs`: how long each report blocks; 0: nobody asks for one. Resolves with what each request took, in ms. */
export async function measure(url, seconds, reportMs) {
  const agent = new Agent({ keepAlive: true });
  const hellos = [];
  const reports = [];
  const askHello = () => hellos.push(ask(agent, `${url}/hello`));
  const askReports = () => {
    for (let i = 0; i < REPORTS_AT_A_TIME; i++) reports.push(ask(agent, `${url}/report?ms=${reportMs}`));
  };
  const during = async (ms) => {
    const timers = [setInterval(askHello, HELLO_EVERY_MS)];
    if (reportMs > 0) timers.push(setInterval(askReports, REPORTS_EVERY_MS));
    await new Promise((resolve) => setTimeout(resolve, ms));
    for (const timer of timers) clearInterval(timer);
    return Promise.all([Promise.all(hellos.splice(0)), Promise.all(reports.splice(0))]);
  };
  try {
    await during(Math.max(WARM_UP_MS, reportMs > 0 ? 2 * REPORTS_EVERY_MS : 0));
    const [others, blocking] = await during(1000 * seconds);
    return { others: others.sort((a, b) => a - b), reports: blocking.sort((a, b) => a - b) };
  } finally {
    agent.destroy();
  }
}

/** Of sorted numbers: the smallest that at least this share of them does not exceed. */
export function percentile(sorted, share) {
  return sorted[Math.max(0, Math.ceil(share * sorted.length) - 1)];
}
