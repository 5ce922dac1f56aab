module.exports = () => ({ body: 'from CommonJS' });
