// A mocha reporter: one JSON line a test, appended to the file that SUITE_RESULTS names as soon as the test ends.
const { appendFileSync } = require('node:fs');

const write = (status, test, error) =>
  appendFileSync(
    process.env.SUITE_RESULTS,
    `${JSON.stringify({ status, name: test.fullTitle(), error: error ? String(error.stack || error) : undefined })}\n`,
  );

module.exports = function SuiteReporter(runner) {
  runner.on('pass', (test) => write('pass', test));
  runner.on('fail', (test, error) => write('fail', test, error));
  runner.on('pending', (test) => write('skip', test));
};
