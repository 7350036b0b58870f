// Peers made of the npm package's own client, with promises instead of events.

import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { setTimeout as pause } from 'node:timers/promises'

import { importFile, requireOf } from './packages.mjs'
import { soon } from './processes.mjs'
import { urlOf } from './trackers.mjs'

const { default: Client } = await importFile('bittorrent-tracker/index.js')
const wrtc = requireOf('bittorrent-tracker/index.js')('@roamhq/wrtc')

const open = new Set()
let lastPort = 20_000

/// One client that knows one tracker. `handed` holds what the tracker handed to it: `ip:port`, over WebSocket peer ids.
export class Peer {
  constructor (tracker, dialect, infoHash, { peerId = newPeerId(), sharesSocket = false } = {}) {
    this.tracker = tracker
    this.dialect = dialect
    this.peerId = peerId
    this.port = ++lastPort
    // The package shares one socket between all clients of a WebSocket URL; the query makes a URL of its own of it.
    const ownSocket = dialect.startsWith('ws') && !sharesSocket
    this.url = urlOf(tracker, dialect) + (ownSocket ? `/?peer=${this.port}` : '')
    this.address = dialect === 'http6' ? `[::1]:${this.port}` : `127.0.0.1:${this.port}`
    this.handed = []
    this.channels = []
    this.warnings = []
    this.client = new Client({
      infoHash,
      peerId,
      port: this.port,
      announce: this.url,
      wrtc,
      // Without servers that tell an address as others see it: the peers are on this machine.
      rtcConfig: { iceServers: [] }
    })
    this.client.on('peer', peer => this.take(peer))
    this.client.on('warning', error => {
      // Of a connection that the other side dropped before it stood: that is no word of the tracker.
      if (!error.message.startsWith('Connection error')) this.warnings.push(error.message)
    })
    this.client.on('error', error => this.warnings.push(error.message))
    open.add(this)
  }

  take (peer) {
    if (typeof peer === 'string') {
      // The package's tracker hands a peer itself, too; evenkeel must not.
      if (!this.tracker.isReference || peer !== this.address) this.handed.push(peer)
      return
    }
    this.handed.push(peer.id)
    this.channels.push(peer)
    peer.on('error', () => {})
  }

  /// Announces (start, update, complete, stop) and answers the tracker's reply.
  async announce (verb, options) {
    const reply = await this.ask('update', verb, () => this.client[verb](options))
    // The reply comes first, and behind it in the same turn the peers, each as an event of its own.
    await new Promise(setImmediate)
    return reply
  }

  /// The event that answers a request; a warning is the answer, too, that nobody wants.
  async ask (event, what, request) {
    assert.deepEqual(this.warnings, [])
    const refused = new AbortController()
    const refuse = () => { if (this.warnings.length) refused.abort(new Error(this.warnings.join('; '))) }
    this.client.on('warning', refuse)
    const answer = soon(this.client, event, `answer to ${what} over ${this.dialect}`, { signal: refused.signal })
    request()
    try {
      return (await answer)[0]
    } finally {
      this.client.off('warning', refuse)
    }
  }

  /// Announces, and asserts on the counts in the reply.
  async expect (verb, options, complete, incomplete) {
    const reply = await this.announce(verb, options)
    assert.deepEqual([reply.complete, reply.incomplete], [complete, incomplete], `${verb} over ${this.dialect}`)
    // The package's UDP client keeps the interval to itself.
    if (this.dialect !== 'udp') assert.ok(reply.interval > 0, 'an interval')
    return reply
  }

  async scrape () {
    const { complete, incomplete, downloaded } = await this.ask('scrape', 'scrape', () => this.client.scrape())
    return [complete, incomplete, downloaded]
  }

  /// Ends the client without a word to the tracker.
  destroy () {
    if (!open.delete(this)) return
    for (const channel of this.channels) channel.destroy()
    return new Promise(resolve => this.client.destroy(resolve))
  }
}

export async function destroyAll () {
  await Promise.all([...open].map(peer => peer.destroy()))
}

/// What a stranger is told of torrents: counts by info hash.
export function scrape (tracker, dialect, infoHashes) {
  return new Promise((resolve, reject) => {
    // Of several info hashes the package's UDP client sends the hexadecimal digits, unless it gets them as bytes.
    const infoHash = dialect === 'udp' ? infoHashes.map(hash => Buffer.from(hash, 'hex')) : infoHashes
    const options = { infoHash, announce: urlOf(tracker, dialect), wrtc }
    Client.scrape(options, (error, answer) => {
      if (error) return reject(error)
      const all = answer.infoHash ? { [answer.infoHash]: answer } : answer
      const counts = Object.entries(all).map(([hash, { complete, incomplete, downloaded }]) =>
        [hash, [complete, incomplete, downloaded]])
      resolve(Object.fromEntries(counts))
    })
  })
}

/// Waits until the answer is the expected one; fails with the difference when it never is.
export async function eventually (ask, expected, ms = 10_000) {
  const deadline = Date.now() + ms
  for (;;) {
    const answer = await ask()
    try {
      return assert.deepEqual(answer, expected)
    } catch (error) {
      if (Date.now() > deadline) throw error
    }
    await pause(20)
  }
}

/// Of ASCII alone: the npm client takes the keys of an HTTP scrape for UTF-8 text, where BEP 48 has raw bytes.
export function newInfoHash () {
  return Buffer.from(randomBytes(20).map(byte => byte & 0x7f)).toString('hex')
}

export function newPeerId () {
  return Buffer.concat([Buffer.from('-WW0113-'), randomBytes(12)]).toString('hex')
}
