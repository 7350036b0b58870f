// Runs one file of the package's own tests and prints each result as a line of JSON.
//
//     node suite-file.mjs FILE [EVENKEEL]
//
// The tests are those of bittorrent-tracker 9.7.1, the last version that was published with them; the client that they
// drive is that of the newest version. They are CommonJS and the newest version is not, so they are given a `require`
// that has the modules already. `Server` is evenkeel, or the package's own when no program is named.

import dns from 'node:dns'
import { readFileSync } from 'node:fs'
import { syncBuiltinESMExports } from 'node:module'
import net from 'node:net'
import path from 'node:path'
import vm from 'node:vm'

import { closeServers, serverClass } from './external-server.mjs'
import { fileOf, importFile, requireOf } from './packages.mjs'
import { killAll } from './processes.mjs'

const TESTS = 'bittorrent-tracker-tests/test'
const TEST_LIMIT_MS = 10_000

const [file, evenkeel] = process.argv.slice(2)
process.on('exit', killAll)
stayHere()

const harness = requireOf('tape/index.js')('tape').createHarness()
let current
process.on('uncaughtException', error => {
  if (!current) throw error
  // A test that throws out of an event would end the whole file; it is a failure of this test alone.
  current.fail(`threw ${error.message}`)
  current.end()
})

const modules = await ownModules()
// Tape begins in the next turn, and is done when it then has no test.
harness.createStream({ objectMode: true }).on('data', row => console.log(JSON.stringify(pick(row))))
harness.onFinish(() => process.exit(0))
run(file)

function test (name, body) {
  harness(name, { timeout: TEST_LIMIT_MS }, t => {
    current = t
    t.teardown(closeServers)
    body(t)
  })
}

/// What a test file is given for the names that it requires. The rest is what its package depends on.
async function ownModules () {
  const { default: Client, Server } = await importFile('bittorrent-tracker/index.js')
  const index = Object.assign(Client, { Client, Server: evenkeel ? serverClass(evenkeel) : Server })
  const hexToBinary = hex => Buffer.from(hex, 'hex').toString('latin1')
  const defaultOf = async name => (await importFile(name)).default
  return new Map(Object.entries({
    '../': index,
    // The one function that the newest version has no more, and that one test asks for.
    '../lib/common': { ...await defaultOf('bittorrent-tracker/lib/common.js'), hexToBinary },
    bencode: await defaultOf('bencode/index.js'),
    'magnet-uri': await defaultOf('magnet-uri/index.js'),
    'webtorrent-fixtures': await defaultOf('webtorrent-fixtures/index.js'),
    tape: test
  }))
}

function run (name) {
  const filename = fileOf(path.join(TESTS, name))
  const parameters = ['exports', 'require', 'module', '__filename', '__dirname']
  const module = { exports: {} }
  const body = vm.compileFunction(readFileSync(filename, 'utf8'), parameters, { filename })
  const require = requireOf(path.join(TESTS, name))
  const give = wanted => {
    if (modules.has(wanted)) return modules.get(wanted)
    if (wanted !== './common') return require(wanted)
    modules.set(wanted, run('common.js'))
    return modules.get(wanted)
  }
  body(module.exports, give, module, filename, path.dirname(filename))
  return module.exports
}

function pick ({ type, id, name, ok, test, operator, actual, expected }) {
  const shown = value => value === undefined ? undefined : String(value).slice(0, 200)
  return { type, id, name: shown(name), ok, test, operator, actual: shown(actual), expected: shown(expected) }
}

/// Some tests ask for hosts that must not exist. Here none does, and nobody is asked.
function stayHere () {
  const lookup = dns.lookup
  dns.lookup = (host, options, done) => {
    if (net.isIP(host) || host === 'localhost') return lookup(host, options, done)
    const error = Object.assign(new Error(`getaddrinfo ENOTFOUND ${host}`), { code: 'ENOTFOUND', hostname: host })
    process.nextTick(typeof options === 'function' ? options : done, error)
  }
  syncBuiltinESMExports()
}
