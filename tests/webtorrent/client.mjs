// Part `client`: the npm package's client says everything it can say, over each dialect, and is told the truth.

import assert from 'node:assert/strict'

import { Peer, destroyAll, eventually, newInfoHash, newPeerId, scrape } from './peers.mjs'
import { soon } from './processes.mjs'

export const limitSecs = 60

export async function run ({ checks, startTracker }) {
  const tracker = await startTracker()
  const check = async (name, body) => {
    await checks.run(name, body, () => tracker.program?.err ?? '')
    await destroyAll()
  }
  for (const dialect of ['http', 'http6', 'udp', 'ws', 'ws6']) {
    await check(`${dialect}: a life of two peers, counted`, () => lifeOfTwo(tracker, dialect))
    await check(`${dialect}: who wants one peer is handed one`, () => wantsOne(tracker, dialect))
    await check(`${dialect}: a peer that left is not handed out`, () => left(tracker, dialect))
    await check(`${dialect}: several torrents in one scrape`, () => scrapesSeveral(tracker, dialect))
  }
  await check('ws: two peers talk over WebRTC', () => talk(tracker))
  await check('ws: a peer goes when its socket closes', () => closes(tracker))
  await check('ws: torrents that share a socket, destroyed in either order', () => sharedSocket(tracker))
  await tracker.close()
}

/// The package's tracker has no count of downloads and tells that of seeders in its place.
function downloads (tracker, count, complete) {
  return tracker.isReference ? complete : count
}

async function lifeOfTwo (tracker, dialect) {
  const infoHash = newInfoHash()
  const seeder = new Peer(tracker, dialect, infoHash)
  const leecher = new Peer(tracker, dialect, infoHash)

  const reply = await seeder.expect('start', { left: 0 }, 1, 0)
  assert.equal(reply.announce, seeder.url)
  await leecher.expect('start', { left: 1000 }, 1, 1)
  if (dialect.startsWith('ws')) {
    await eventually(() => [seeder.handed, leecher.handed], [[leecher.peerId], [seeder.peerId]])
  } else {
    assert.deepEqual([seeder.handed, leecher.handed], [[], [seeder.address]])
  }
  // Without offers: over WebSocket the answers to them could come behind a peer's last word.
  await leecher.expect('update', { left: 500, numwant: 0 }, 1, 1)
  await seeder.expect('update', { left: 0, numwant: 0 }, 1, 1)
  assert.deepEqual(await leecher.scrape(), [1, 1, downloads(tracker, 0, 1)])

  await leecher.expect('complete', { left: 0 }, 2, 0)
  assert.deepEqual(await leecher.scrape(), [2, 0, downloads(tracker, 1, 2)])
  await seeder.expect('stop', { left: 0 }, 1, 0)
  assert.deepEqual(await leecher.scrape(), [1, 0, downloads(tracker, 1, 1)])
  await leecher.expect('stop', { left: 0 }, 0, 0)
  const [complete, incomplete] = await leecher.scrape()
  assert.deepEqual([complete, incomplete], [0, 0])
}

async function wantsOne (tracker, dialect) {
  const infoHash = newInfoHash()
  const others = [1, 2, 3].map(() => new Peer(tracker, dialect, infoHash))
  for (const [index, other] of others.entries()) await other.expect('start', { left: 9 }, 0, index + 1)
  const before = others.map(other => other.handed.length)

  const one = new Peer(tracker, dialect, infoHash)
  await one.expect('start', { left: 9, numwant: 1 }, 0, 4)
  if (dialect.startsWith('ws')) await eventually(() => one.handed.length, 1)
  // What else would be on the way to the others is there before the answers to their own next words.
  for (const other of others) await other.expect('update', { left: 9, numwant: 0 }, 0, 4)
  // The package's tracker may hand the one peer itself.
  if (tracker.isReference && one.handed.length === 0) return
  assert.equal(one.handed.length, 1)
  const ids = others.map(other => dialect.startsWith('ws') ? other.peerId : other.address)
  assert.ok(ids.includes(one.handed[0]), `${one.handed} is one of ${ids}`)
  if (dialect.startsWith('ws')) {
    const offered = others.filter((other, index) => other.handed.slice(before[index]).includes(one.peerId))
    assert.equal(offered.length, 1, 'one of the others got the offer')
  }
}

async function left (tracker, dialect) {
  const infoHash = newInfoHash()
  const [gone, stays, comes] = [1, 2, 3].map(() => new Peer(tracker, dialect, infoHash))
  await gone.expect('start', { left: 9, numwant: 1 }, 0, 1)
  await stays.expect('start', { left: 9, numwant: 1 }, 0, 2)
  // An answer that is still on its way would be a word of the peer behind its last one.
  if (dialect.startsWith('ws')) await eventually(() => stays.handed.length, 1)
  await gone.expect('stop', { left: 9 }, 0, 1)
  const before = gone.handed.length
  await comes.expect('start', { left: 9 }, 0, 2)
  const stayer = dialect.startsWith('ws') ? stays.peerId : stays.address
  await eventually(() => comes.handed, [stayer])
  // Over WebSocket the one that left still has its socket: no offer came over it before the answer to its scrape.
  await gone.scrape()
  assert.equal(gone.handed.length, before)
}

async function scrapesSeveral (tracker, dialect) {
  const [one, two, none] = [newInfoHash(), newInfoHash(), newInfoHash()]
  await new Peer(tracker, dialect, one).expect('start', { left: 0 }, 1, 0)
  await new Peer(tracker, dialect, two).expect('start', { left: 9 }, 0, 1)
  const counts = await scrape(tracker, dialect, [one, two])
  assert.deepEqual(counts, { [one]: [1, 0, downloads(tracker, 0, 1)], [two]: [0, 1, 0] })
  assert.deepEqual(await scrape(tracker, dialect, [two]), { [two]: [0, 1, 0] })
  assert.deepEqual((await new Peer(tracker, dialect, none).scrape()), [0, 0, 0])
}

async function talk (tracker) {
  const infoHash = newInfoHash()
  const [first, second] = [new Peer(tracker, 'ws', infoHash), new Peer(tracker, 'ws', infoHash)]
  await first.expect('start', { left: 0 }, 1, 0)
  const asked = soon(first.client, 'peer', 'offer')
  const answered = soon(second.client, 'peer', 'answer')
  await second.expect('start', { left: 9 }, 1, 1)
  const [[here], [there]] = await Promise.all([asked, answered])
  assert.deepEqual([here.id, there.id], [second.peerId, first.peerId])
  await Promise.all([here, there].map(channel => channel.connected || soon(channel, 'connect', 'connection')))
  const heard = soon(there, 'data', 'data')
  here.send('evenkeel')
  assert.equal(Buffer.from((await heard)[0]).toString(), 'evenkeel')
}

async function closes (tracker) {
  const infoHash = newInfoHash()
  const [goes, stays] = [new Peer(tracker, 'ws', infoHash), new Peer(tracker, 'ws', infoHash)]
  await goes.expect('start', { left: 0 }, 1, 0)
  await stays.expect('start', { left: 9 }, 1, 1)
  await goes.destroy()
  await eventually(async () => (await stays.scrape()).slice(0, 2), [0, 1])
  const comes = new Peer(tracker, 'ws', infoHash)
  await comes.expect('start', { left: 9 }, 0, 2)
  await eventually(() => comes.handed, [stays.peerId])
}

async function sharedSocket (tracker) {
  for (const order of [[0, 1], [1, 0]]) {
    const hashes = [newInfoHash(), newInfoHash()]
    const peerId = newPeerId()
    const pair = hashes.map(hash => new Peer(tracker, 'ws', hash, { peerId, sharesSocket: true }))
    for (const peer of pair) await peer.expect('start', { left: 9 }, 0, 1)
    const counts = async () => Object.values(await scrape(tracker, 'udp', hashes)).map(([, incomplete]) => incomplete)
    assert.deepEqual(await counts(), [1, 1])
    await pair[order[0]].destroy()
    await pair[order[1]].expect('update', { left: 9 }, 0, 1)
    await pair[order[1]].destroy()
    await eventually(counts, [0, 0])
  }
}
