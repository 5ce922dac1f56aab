export const add = (a, b) => a + b;
export const fail = () => {
  throw Object.assign(new Error('no such thing'), { code: 'ENOTHING' });
};
export const slow = (ms) => new Promise((resolve) => setTimeout(resolve, ms, 'slept'));
export const pid = (ms) => new Promise((resolve) => setTimeout(resolve, ms, process.pid));
