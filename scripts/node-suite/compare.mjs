// What the results say: which tests pass on plain node and fail with the hook, and what share of each group that is.

export const serverGoalPercent = 97;
const groupTitles = { server: 'http and https, with a server', client: 'http and https, client only', net: 'net' };

export const isRegression = ({ plain, hooked }) => plain.status === 'pass' && hooked.status !== 'pass';

export function counts(results) {
  const count = (status) => results.filter((result) => result.status === status).length;
  return { pass: count('pass'), fail: count('fail'), skip: count('skip') };
}

/** For each group: of the tests that pass plain, how many pass hooked. */
export function compareGroups(entries) {
  return Object.entries(groupTitles).map(([group, title]) => {
    const base = entries.filter((entry) => entry.group === group && entry.plain.status === 'pass');
    const regressions = base.filter(isRegression);
    const pass = base.length - regressions.length;
    return {
      group,
      title,
      plainPass: base.length,
      hookedPass: pass,
      percent: base.length === 0 ? 100 : (100 * pass) / base.length,
      regressions: regressions.map(({ name }) => name),
    };
  });
}

/** In words, why the run does not reach the goal; empty where it does. */
export function shortfalls(groups) {
  const [server, client] = groups;
  const reasons = [];
  if (server.percent < serverGoalPercent)
    reasons.push(`server tests: ${server.percent.toFixed(1)} % is below ${serverGoalPercent} %`);
  if (client.regressions.length > 0) reasons.push(`client-only tests: ${client.regressions.length} regressed`);
  return reasons;
}

export function lastLines(output, count) {
  const lines = output.split('\n').filter((line) => line.trim() !== '' && !/^Node\.js v\d/.test(line));
  return lines.slice(-count).map((line) => `      ${line.slice(0, 200)}`);
}
