// The tracker under test, and the one of the npm package: what is true of both is true of the tests, not of evenkeel.

import assert from 'node:assert/strict'
import { once } from 'node:events'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import os from 'node:os'
import path from 'node:path'

import { importFile } from './packages.mjs'
import { Program } from './processes.mjs'

const CONFIG = `\
[server]
port = 0
addresses = ["127.0.0.1", "::1"]

[admin]
address = "127.0.0.1:0"

[limits]
full_scrape_torrents_max = 100
`

const open = new Set()

/// Starts the program on ports that it takes itself, with a folder of its own; with an authority's certificate it speaks
/// TLS, too.
export async function startEvenkeel (path_, authority) {
  const folder = await mkdtemp(path.join(os.tmpdir(), 'evenkeel-webtorrent-'))
  const config = path.join(folder, 'evenkeel.toml')
  await writeFile(config, CONFIG + (authority ? await secured(authority, folder) : ''))
  // What the one who runs the tests has set for a tracker of their own is not for this one.
  const env = Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith('EVENKEEL_')))
  const program = new Program(path_, ['serve', '--config', config, '--state-dir', path.join(folder, 'state')], env)
  const tracker = {
    isReference: false,
    program,
    close: async () => {
      if (!open.delete(tracker)) return
      const status = await program.stop()
      await rm(folder, { recursive: true, force: true })
      assert.equal(status, 0, `evenkeel ended with ${status}:\n${program.err}`)
    }
  }
  open.add(tracker)
  const [, port] = await program.line(/udp:\/\/127\.0\.0\.1:(\d+)\/announce/)
  // It stands before that line.
  const wss = /https:\/\/127\.0\.0\.1:(\d+)\/announce/.exec(program.out)?.[1]
  tracker.ports = { http: port, udp: port, ws: port, wss }
  return tracker
}

/// Settings for a certificate of an authority.
async function secured (authority, folder) {
  const { certificate, key } = await authority.issue(folder)
  return `\n[tls]\ncertificate_file = "${certificate}"\nkey_file = "${key}"\nport = 0\n`
}

/// Starts the tracker of the npm package bittorrent-tracker in this process.
export async function startReference () {
  const { Server } = await importFile('bittorrent-tracker/index.js')
  const server = new Server({ http: true, udp: true, ws: true })
  server.on('warning', () => {})
  server.listen(0, { http: '::', udp4: '127.0.0.1' })
  await once(server, 'listening')
  const tracker = {
    isReference: true,
    ports: { http: server.http.address().port, udp: server.udp.address().port, ws: server.http.address().port },
    close: async () => {
      if (!open.delete(tracker)) return
      server.http.closeAllConnections()
      await new Promise(resolve => server.close(resolve))
    }
  }
  open.add(tracker)
  return tracker
}

/// Ends those that a failed test left behind.
export async function closeAll () {
  for (const tracker of open) await tracker.close().catch(() => {})
}

/// The announce URL of a dialect: http, udp, ws or wss, and http6 or ws6 over IPv6.
export function urlOf (tracker, dialect) {
  const name = dialect.replace('6', '')
  const host = dialect.endsWith('6') ? '[::1]' : '127.0.0.1'
  return `${name}://${host}:${tracker.ports[name]}${name.startsWith('ws') ? '' : '/announce'}`
}
