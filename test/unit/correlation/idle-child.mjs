// Stays until it is killed, or its parent goes.
process.on('message', () => {});
process.on('disconnect', () => process.exit());
process.send('ready');
