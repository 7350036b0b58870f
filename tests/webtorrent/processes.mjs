// Programs that the tests start, and how they end: with the tests, however those end.

import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'

const running = new Set()

/// A program in the background. Its lines on standard output can be awaited, all of its output is kept.
export class Program {
  constructor (command, args, env = process.env) {
    // setpriv has the kernel kill the program with this one, for which no handler can be written when it is SIGKILL.
    this.child = spawn('setpriv', ['--pdeathsig', 'KILL', command, ...args], { env, stdio: ['ignore', 'pipe', 'pipe'] })
    running.add(this.child)
    this.out = ''
    this.err = ''
    this.child.stdout.on('data', data => { this.out += data })
    this.child.stderr.on('data', data => { this.err += data })
    this.lines = createInterface({ input: this.child.stdout })
    this.ended = new Promise(resolve => {
      this.child.once('error', error => resolve(error.message))
      this.child.once('close', (code, signal) => resolve(code ?? signal))
    })
    this.ended.then(() => running.delete(this.child))
  }

  /// The first line that fits.
  async line (pattern) {
    for await (const line of this.lines) {
      const found = pattern.exec(line)
      if (found) return found
    }
    throw new Error(`${this.child.spawnfile} ended (${await this.ended}) without ${pattern}:\n${this.out}${this.err}`)
  }

  /// Asks it to stop and answers the exit status.
  stop () {
    this.child.kill('SIGTERM')
    return this.ended
  }
}

/// Runs a program to its end.
export async function finish (command, args, env) {
  const program = new Program(command, args, env)
  const status = await program.ended
  return { status, out: program.out, err: program.err }
}

export function killAll () {
  for (const child of running) child.kill('SIGKILL')
}

/// Waits for an event that must come within this time, unless the signal ends the waiting with a reason of its own.
export async function soon (emitter, event, what, { ms = 10_000, signal } = {}) {
  const limit = new AbortController()
  const timer = setTimeout(() => limit.abort(new Error(`no ${what} within ${ms} ms`)), ms)
  const stop = () => limit.abort(signal.reason)
  signal?.addEventListener('abort', stop)
  try {
    return await once(emitter, event, { signal: limit.signal })
  } catch (error) {
    throw limit.signal.aborted ? limit.signal.reason : error
  } finally {
    clearTimeout(timer)
    signal?.removeEventListener('abort', stop)
  }
}
