// What the workers do: each export is a task, which a thread of a worker process runs.

/** How many primes are below n, and which process counted them. */
export function primes(n) {
  const composite = new Uint8Array(n);
  let count = 0;
  for (let i = 2; i < n; i++) {
    if (composite[i] === 1) continue;
    count++;
    for (let j = i * i; j < n; j += i) composite[j] = 1;
  }
  return { below: n, count, pid: process.pid };
}
