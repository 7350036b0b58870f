// Stands between clients and a tracker, passes every byte on as it is, and tells what it saw go by.
//
// Tests that were written for a server in their own process wait for its events: a peer has started, a peer has
// stopped. From outside one can know it, too: the announce went to the tracker and the tracker's answer came back. That
// is when the event is emitted here, and not before; nothing is answered by the observer itself.

import dgram from 'node:dgram'
import { EventEmitter, once } from 'node:events'
import http from 'node:http'
import net from 'node:net'
import { Duplex } from 'node:stream'

import { importFile } from './packages.mjs'

const { WebSocketServer } = await importFile('ws/wrapper.mjs')

const EVENTS = { started: 'start', stopped: 'stop', completed: 'complete', paused: 'pause' }
const UDP_EVENTS = ['update', 'complete', 'start', 'stop', 'pause']
const UDP_ANNOUNCE = 1

/// Passes TCP on. `reader` is an http.Server that reads along: its `request` events are those of the clients, and what
/// it would answer goes nowhere.
export class TcpObserver extends EventEmitter {
  constructor () {
    super()
    this.sockets = new Set()
    this.listener = net.createServer(client => this.pass(client))
    this.reader = http.createServer((request, response) => response.end())
    this.reader.address = () => this.listener.address()
    this.webSockets = new WebSocketServer({ noServer: true })
  }

  async listen (trackerPort) {
    this.trackerPort = trackerPort
    this.listener.listen(0, '127.0.0.1')
    await once(this.listener, 'listening')
    this.reader.on('request', request => this.sawRequest(request))
    this.reader.on('upgrade', (request, copy, head) => {
      this.webSockets.handleUpgrade(request, copy, head, socket => {
        socket.on('message', text => this.sawMessage(copy, JSON.parse(text)))
        socket.on('error', () => {})
      })
    })
  }

  pass (client) {
    const tracker = net.connect(this.trackerPort, '127.0.0.1')
    const copy = new Duplex({ read () {}, write: (chunk, encoding, done) => done() })
    copy.unanswered = []
    for (const [from, to] of [[client, tracker], [tracker, client]]) {
      this.sockets.add(from)
      from.on('error', () => {})
      from.on('close', () => {
        this.sockets.delete(from)
        to.destroy()
      })
      from.pipe(to)
    }
    client.on('data', chunk => copy.push(chunk))
    client.on('close', () => copy.push(null))
    copy.on('error', () => {})
    // The first bytes that come back are those of the answer: a client waits for it before it asks again.
    tracker.on('data', () => {
      for (const [event, peer, params] of copy.unanswered.splice(0)) this.emit(event, peer, params)
    })
    this.reader.emit('connection', copy)
  }

  sawRequest (request) {
    const { pathname, searchParams } = new URL(request.url, 'http://tracker')
    if (pathname !== '/announce') return
    const params = Object.fromEntries(searchParams)
    request.socket.unanswered.push([EVENTS[params.event] ?? 'update', `127.0.0.1:${params.port}`, params])
  }

  sawMessage (copy, message) {
    if (message.action !== 'announce' || message.answer) return
    const peer = Buffer.from(message.peer_id, 'latin1').toString('hex')
    copy.unanswered.push([EVENTS[message.event] ?? 'update', peer, message])
  }

  close () {
    this.listener.close()
    for (const socket of this.sockets) socket.destroy()
  }
}

/// Passes datagrams on, from a socket of its own for each client.
export class UdpObserver extends EventEmitter {
  constructor () {
    super()
    this.listener = dgram.createSocket('udp4')
    this.clients = new Map()
    this.unanswered = new Map()
  }

  async listen (trackerPort) {
    this.listener.on('message', (datagram, client) => {
      this.saw(datagram)
      this.socketFor(client).send(datagram, trackerPort, '127.0.0.1')
    })
    this.listener.bind(0, '127.0.0.1')
    await once(this.listener, 'listening')
  }

  address () {
    return this.listener.address()
  }

  socketFor (client) {
    const known = this.clients.get(client.port)
    if (known) return known
    const socket = dgram.createSocket('udp4')
    this.clients.set(client.port, socket)
    socket.on('message', datagram => {
      this.sawAnswer(datagram)
      this.listener.send(datagram, client.port, client.address)
    })
    return socket
  }

  saw (datagram) {
    if (datagram.length < 98 || datagram.readUInt32BE(8) !== UDP_ANNOUNCE) return
    const event = UDP_EVENTS[datagram.readUInt32BE(80)]
    this.unanswered.set(datagram.readUInt32BE(12), [event, `127.0.0.1:${datagram.readUInt16BE(96)}`])
  }

  sawAnswer (datagram) {
    const transaction = datagram.readUInt32BE(4)
    const seen = datagram.readUInt32BE(0) === UDP_ANNOUNCE && this.unanswered.get(transaction)
    if (!seen) return
    this.unanswered.delete(transaction)
    this.emit(seen[0], seen[1], {})
  }

  close () {
    this.listener.close()
    for (const socket of this.clients.values()) socket.close()
  }
}
