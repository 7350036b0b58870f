// What the package's tests take for the package's `Server`: a tracker that is a program of its own.
//
// It starts evenkeel on free ports and puts an observer in front of each, from which the events come. What only a
// server in the same process can offer (its swarms, a filter that is a function) is not here, so that a test which asks
// for it fails; expected.mjs names those.

import { EventEmitter } from 'node:events'

import { TcpObserver, UdpObserver } from './observer.mjs'
import { startEvenkeel } from './trackers.mjs'

const EVENTS = ['start', 'update', 'complete', 'stop', 'pause']
const OPTIONS = ['serverType', 'http', 'udp', 'ws']

const open = new Set()

/// A class for tests that run against this program.
export function serverClass (evenkeel) {
  return class Server extends ExternalServer {
    constructor (options) {
      super(evenkeel, options)
    }
  }
}

/// Waits for those that a test has closed, and ends those that a failed one has not.
export async function closeServers () {
  await Promise.all([...open].map(server => server.end()))
}

class ExternalServer extends EventEmitter {
  constructor (evenkeel, options) {
    super()
    const unknown = Object.keys(options).filter(name => !OPTIONS.includes(name))
    if (unknown.length) throw new Error(`a server of its own cannot be given: ${unknown.join(', ')}`)
    this.evenkeel = evenkeel
    this.listening = false
    this.tcp = new TcpObserver()
    this.udp = new UdpObserver()
    this.http = this.tcp.reader
    this.ws = { address: () => this.http.address() }
    for (const event of EVENTS) {
      for (const observer of [this.tcp, this.udp]) observer.on(event, (...seen) => this.emit(event, ...seen))
    }
  }

  listen (port, listening) {
    if (listening) this.once('listening', listening)
    this.start().catch(error => this.emit('error', error))
  }

  async start () {
    this.tracker = await startEvenkeel(this.evenkeel)
    open.add(this)
    await this.tcp.listen(this.tracker.ports.http)
    await this.udp.listen(this.tracker.ports.udp)
    this.listening = true
    this.emit('listening')
  }

  close (closed = () => {}) {
    this.listening = false
    this.end().then(() => closed(null), error => this.emit('error', error))
  }

  end () {
    this.ended ??= this.tracker.close().finally(() => {
      this.tcp.close()
      this.udp.close()
      open.delete(this)
    })
    return this.ended
  }
}
