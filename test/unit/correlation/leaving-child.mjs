// Lets its channel go when it is told to, and ends after a while, or lives on.
const keepAlive = setInterval(() => {}, 60_000);
process.on('message', (message) => {
  if (message !== 'leave') return;
  process.disconnect();
  if (process.argv[2] === 'ends') {
    setTimeout(() => process.exit(7), 20);
    clearInterval(keepAlive);
  }
});
process.send('ready');
