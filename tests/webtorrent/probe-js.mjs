// Part `probe-js`: `evenkeel probe` judges a tracker that is not ours, that of the npm package, and says what is wrong
// with it.

import assert from 'node:assert/strict'

import { finish } from './processes.mjs'
import { startReference, urlOf } from './trackers.mjs'

export const limitSecs = 30

// The package's tracker hands a peer itself, over HTTP and UDP, and that is all that is wrong with it.
const DIALLED = [
  'ok    a seeder announces and is answered',
  'FAIL  a caller is handed itself (127.0.0.1:40001)',
  'ok    a leecher is handed the seeder',
  'FAIL  a caller is handed itself (127.0.0.1:40002)',
  'ok    counts in announces are right',
  'ok    numwant is obeyed',
  'ok    the scrape with three peers agrees',
  'ok    the scrape after all have left agrees'
]
const WEBTORRENT = [
  'ok    a seeder announces and is answered',
  'ok    counts in announces are right',
  "ok    a leecher's offer reaches the seeder",
  'ok    each offer reaches one other peer, as it was made',
  'ok    each answer goes back to the peer that made the offer, once',
  'ok    the scrape with three peers agrees',
  'ok    the scrape after one has said that it stopped agrees',
  'ok    the scrape after the others have closed their sockets agrees'
]
const WELL = 'The tracker works.'
const UNWELL = 'The tracker does not work as it should.'

export async function run ({ checks, evenkeel }) {
  const tracker = await startReference()
  const [http, udp, ws] = ['http', 'udp', 'ws'].map(dialect => urlOf(tracker, dialect))
  const told = (url, findings) => [`${url} over IPv4`, ...findings]
  const [overHttp, overUdp, overWs] = [told(http, DIALLED), told(udp, DIALLED), told(ws, WEBTORRENT)]
  await checks.run('probes it over http', () => probe(evenkeel, [http], 1, [...overHttp, UNWELL]))
  await checks.run('probes it over udp', () => probe(evenkeel, [udp], 1, [...overUdp, UNWELL]))
  await checks.run('probes it over ws', () => probe(evenkeel, [ws], 0, [...overWs, WELL]))
  await checks.run('probes it over all at once', () =>
    probe(evenkeel, [http, udp, ws], 1, [...overHttp, ...overUdp, ...overWs, UNWELL]))
  await tracker.close()
  for (const url of [http, ws]) {
    await checks.run(`says over ${new URL(url).protocol.slice(0, -1)} that nobody is there when it has ended`, () =>
      probe(evenkeel, ['--timeout-secs', '1', url], 1))
  }
}

async function probe (evenkeel, args, status, lines) {
  const done = await finish(evenkeel, ['probe', ...args])
  assert.equal(done.status, status, done.out + done.err)
  const told = done.out.split('\n').map(line => line.trim()).filter(Boolean)
  if (lines) return assert.deepEqual(told, lines)
  assert.ok(told.some(line => line.startsWith('FAIL')), done.out)
  assert.equal(told.at(-1), UNWELL)
}
