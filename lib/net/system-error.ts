import { getSystemErrorName } from 'node:util';

/** As node makes them of what a system call returned; `errno` is positive. */
export function systemError(errno: number, syscall: string): NodeJS.ErrnoException {
  const code = getSystemErrorName(-errno);
  return Object.assign(new Error(`${syscall} ${code}`), { errno: -errno, code, syscall });
}
