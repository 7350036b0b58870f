// Part `probe-js`: `evenkeel probe` judges a tracker that is not ours, that of the npm package, and says what is wrong
// with it.

import assert from 'node:assert/strict'

import { finish } from './processes.mjs'
import { startReference, urlOf } from './trackers.mjs'

export const limitSecs = 30

// The package's tracker hands a peer itself, and that is all that is wrong with it.
const FINDINGS = [
  'ok    a seeder announces and is answered',
  'FAIL  a caller is handed itself (127.0.0.1:40001)',
  'ok    a leecher is handed the seeder',
  'FAIL  a caller is handed itself (127.0.0.1:40002)',
  'ok    counts in announces are right',
  'ok    numwant is obeyed',
  'ok    the scrape with three peers agrees',
  'ok    the scrape after all have left agrees'
]
const VERDICT = 'The tracker does not work as it should.'

export async function run ({ checks, evenkeel }) {
  const tracker = await startReference()
  const [http, udp] = ['http', 'udp'].map(dialect => urlOf(tracker, dialect))
  const told = url => [`${url} over IPv4`, ...FINDINGS]
  await checks.run('probes it over http', () => probe(evenkeel, [http], 1, [...told(http), VERDICT]))
  await checks.run('probes it over udp', () => probe(evenkeel, [udp], 1, [...told(udp), VERDICT]))
  await checks.run('probes it over both at once', () =>
    probe(evenkeel, [http, udp], 1, [...told(http), ...told(udp), VERDICT]))
  await tracker.close()
  await checks.run('says that nobody is there when it has ended', () => probe(evenkeel, ['--timeout-secs', '1', http], 1))
}

async function probe (evenkeel, args, status, lines) {
  const done = await finish(evenkeel, ['probe', ...args])
  assert.equal(done.status, status, done.out + done.err)
  const told = done.out.split('\n').map(line => line.trim()).filter(Boolean)
  if (lines) return assert.deepEqual(told, lines)
  assert.ok(told.some(line => line.startsWith('FAIL')), done.out)
  assert.equal(told.at(-1), VERDICT)
}
