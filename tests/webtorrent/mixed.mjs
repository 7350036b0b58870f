// Part `mixed`: one torrent, four peers, three dialects. They count as one swarm, but who speaks WebRTC and who speaks
// TCP cannot reach each other and must not be introduced.

import assert from 'node:assert/strict'

import { Peer, destroyAll, eventually, newInfoHash, scrape } from './peers.mjs'

export const limitSecs = 30

export async function run ({ checks, startTracker }) {
  const tracker = await startTracker()
  const swarm = newSwarm(tracker)
  const check = (name, body) => checks.run(name, body, () => tracker.program?.err ?? '')
  await check('every dialect counts the peers of the others', () => everyOneComes(swarm))
  await check('scrapes agree over http, udp and ws', () => scrapesAgree(swarm, [2, 2, 0]))
  await check('who speaks TCP is handed those who speak TCP, and no other', () => tcpMeetsTcp(swarm))
  await check('who speaks WebRTC is handed those who speak WebRTC, and no other', () => webMeetsWeb(swarm))
  await check('a download over ws is told over all three', () => completes(swarm))
  await check('every dialect hears that the others leave', () => everyOneLeaves(swarm))
  await destroyAll()
  await tracker.close()
}

function newSwarm (tracker) {
  const infoHash = newInfoHash()
  const [http, udp, web, webLeecher] = ['http', 'udp', 'ws', 'ws'].map(name => new Peer(tracker, name, infoHash))
  return { tracker, infoHash, http, udp, web, webLeecher }
}

async function everyOneComes ({ http, udp, web, webLeecher }) {
  await http.expect('start', { left: 9 }, 0, 1)
  await web.expect('start', { left: 0 }, 1, 1)
  await udp.expect('start', { left: 0 }, 2, 1)
  await webLeecher.expect('start', { left: 9 }, 2, 2)
  await eventually(() => [web.handed, webLeecher.handed], [[webLeecher.peerId], [web.peerId]])
  for (const peer of [http, webLeecher]) await peer.expect('update', { left: 9, numwant: 0 }, 2, 2)
  for (const peer of [udp, web]) await peer.expect('update', { left: 0, numwant: 0 }, 2, 2)
}

async function scrapesAgree ({ tracker, infoHash }, [complete, incomplete, downloaded]) {
  const counts = [complete, incomplete, tracker.isReference ? complete : downloaded]
  for (const dialect of ['http', 'udp', 'ws']) {
    assert.deepEqual(await scrape(tracker, dialect, [infoHash]), { [infoHash]: counts }, `scrape over ${dialect}`)
  }
}

async function tcpMeetsTcp ({ http, udp }) {
  for (const [peer, other, left] of [[http, udp, 9], [udp, http, 0]]) {
    peer.handed = []
    await peer.expect('update', { left, numwant: 50 }, 2, 2)
    assert.deepEqual(peer.handed, [other.address])
  }
}

async function webMeetsWeb ({ web, webLeecher }) {
  for (const [peer, other, left] of [[web, webLeecher, 0], [webLeecher, web, 9]]) {
    const before = [peer.handed.length, other.handed.length]
    const reply = await peer.expect('update', { left }, 2, 2)
    assert.deepEqual(Object.keys(reply).filter(key => /^peers/.test(key)), [], 'no addresses')
    // Each takes part in one connection more, and none of the five offers found somebody else.
    await eventually(() => [peer.handed.length, other.handed.length], before.map(count => count + 1))
  }
  assert.deepEqual(new Set(web.handed), new Set([webLeecher.peerId]))
  assert.deepEqual(new Set(webLeecher.handed), new Set([web.peerId]))
}

async function completes (swarm) {
  await swarm.webLeecher.expect('complete', { left: 0 }, 3, 1)
  await scrapesAgree(swarm, [3, 1, 1])
}

async function everyOneLeaves (swarm) {
  const { http, udp, web, webLeecher } = swarm
  await udp.expect('stop', { left: 0 }, 2, 1)
  await web.expect('stop', { left: 0 }, 1, 1)
  await http.expect('update', { left: 9 }, 1, 1)
  await scrapesAgree(swarm, [1, 1, 1])
  await http.expect('stop', { left: 9 }, 1, 0)
  await webLeecher.expect('stop', { left: 0 }, 0, 0)
  const counts = await scrape(swarm.tracker, 'udp', [swarm.infoHash])
  assert.deepEqual(counts[swarm.infoHash].slice(0, 2), [0, 0])
}
