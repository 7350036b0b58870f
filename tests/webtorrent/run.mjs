// WebTorrent's own JavaScript, and real browsers, speak to the tracker.
//
//     tests/webtorrent/install.sh                                       installs what this needs (once)
//     node tests/webtorrent/run.mjs --evenkeel target/release/evenkeel [--only PART] [--verbose]
//                                   [--tracker js]
//
// The parts, each a file of its own and each with a limit of time:
//
//   client    the npm package's client over http, udp and ws: counts, peers, scrapes, a WebRTC connection
//   mixed     one torrent over all three dialects
//   browser   two browsers introduced by the tracker alone pass data to each other, over ws and over wss
//   suite     the npm package's own tests, with evenkeel in the place of its server
//   probe-js  `evenkeel probe` judges the npm package's tracker
//
// `--tracker js` runs client, mixed, browser and suite against the tracker of the npm package instead: what fails
// there, too, is a fault of the tests. Nothing here is skipped, and nothing leaves this machine. The last line is
// always `N passed, N failed`, and the exit status is 1 if anything failed.
//
// The files: run.mjs (command line, limits), one for each part, trackers.mjs (the program under test), peers.mjs (the
// npm client with promises), suite-file.mjs, external-server.mjs, observer.mjs and expected.mjs (for the suite),
// authority.mjs (a private one), packages.mjs, processes.mjs and checks.mjs.

import { mkdtempSync, rmSync } from 'node:fs'
import { access, constants } from 'node:fs/promises'
import os from 'node:os'
import path from 'node:path'
import { parseArgs } from 'node:util'

import { Checks } from './checks.mjs'
import { fileOf } from './packages.mjs'
import { killAll } from './processes.mjs'
import { closeAll, startEvenkeel, startReference } from './trackers.mjs'

const PARTS = ['client', 'mixed', 'browser', 'suite', 'probe-js']

const options = await readOptions()
// For all that this program and its children leave in files; what is started later finds it in the environment.
process.env.TMPDIR = mkdtempSync(path.join(os.tmpdir(), 'evenkeel-webtorrent-'))
process.on('exit', () => {
  killAll()
  rmSync(process.env.TMPDIR, { recursive: true, force: true, maxRetries: 5 })
})
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.on(signal, () => process.exit(1))

let [passed, failed] = [0, 0]
for (const part of options.parts) {
  const checks = await runPart(part)
  passed += checks.passed
  failed += checks.failed
}
console.log(`${passed} passed, ${failed} failed`)
// Not by falling off the end: WebRTC keeps threads of its own for a while.
process.exit(failed || !passed ? 1 : 0)

async function readOptions () {
  const { values } = parseArgs({
    options: {
      evenkeel: { type: 'string' },
      only: { type: 'string' },
      tracker: { type: 'string', default: 'evenkeel' },
      verbose: { type: 'boolean', default: false }
    }
  })
  const fail = message => {
    console.error(message)
    process.exit(2)
  }
  await access(fileOf('../installed')).catch(() => fail('tests/webtorrent/install.sh has not been run'))
  if (!values.evenkeel) fail('--evenkeel PATH is needed')
  const evenkeel = path.resolve(values.evenkeel)
  await access(evenkeel, constants.X_OK).catch(() => fail(`${evenkeel} is not a program`))
  if (values.only && !PARTS.includes(values.only)) fail(`--only is one of ${PARTS.join(', ')}`)
  if (!['evenkeel', 'js'].includes(values.tracker)) fail('--tracker is evenkeel or js')
  const isReference = values.tracker === 'js'
  const parts = values.only ? [values.only] : PARTS.filter(part => !isReference || part !== 'probe-js')
  return { evenkeel, isReference, verbose: values.verbose, parts }
}

async function runPart (name) {
  const checks = new Checks(name)
  const startTracker = options.isReference ? startReference : authority => startEvenkeel(options.evenkeel, authority)
  let timer
  try {
    const part = await import(`./${name}.mjs`)
    const limit = new Promise((resolve, reject) => {
      timer = setTimeout(() => reject(new Error(`not done after ${part.limitSecs} s`)), part.limitSecs * 1000)
    })
    await Promise.race([part.run({ ...options, checks, startTracker }), limit])
  } catch (error) {
    // Outside of any check, or in the one that did not come to an end.
    const body = () => { throw error }
    await checks.run(checks.current ?? 'the part as a whole', body)
  }
  clearTimeout(timer)
  await closeAll()
  return checks
}
