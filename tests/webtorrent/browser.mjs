// Part `browser`: the browser build of the package webtorrent in two Chromium browsers. One seeds data that it made,
// the other knows a magnet link with our tracker alone and downloads the data over WebRTC. Once over ws, and once over wss
// with the certificate of a private authority, which the browsers were told to trust.

import assert from 'node:assert/strict'
import { readFile } from 'node:fs/promises'
import http from 'node:http'
import { once } from 'node:events'

import { Authority } from './authority.mjs'
import { fileOf, importFile } from './packages.mjs'
import { eventually, scrape } from './peers.mjs'
import { urlOf } from './trackers.mjs'

export const limitSecs = 120

const SIZE = 700_000
const CHROMIUM = process.env.CHROMIUM ?? '/usr/bin/chromium'
const FILES = {
  '/': ['text/html', new URL('browser-page.html', import.meta.url)],
  '/webtorrent.min.js': ['text/javascript', fileOf('webtorrent/dist/webtorrent.min.js')]
}

export async function run (options) {
  await transfer(options, 'ws')
  // The package's tracker speaks no TLS.
  if (!options.isReference) await transfer(options, 'wss')
}

async function transfer ({ checks, startTracker, verbose }, dialect) {
  const authority = dialect === 'wss' ? await Authority.make() : undefined
  const tracker = await startTracker(authority)
  const site = await serveFiles()
  const log = []
  const evidence = () => [...log, tracker.program?.err].join('\n')
  const check = (name, body) => checks.run(`${dialect}: ${name}`, body, evidence)
  const see = message => verbose ? console.log(message) : log.push(message)

  const facts = {}
  const seeder = await openBrowser(site, see, authority)
  const leecher = await openBrowser(site, see, authority)
  try {
    if (authority) {
      await check('a browser that was told nothing is kept out', () => isKeptOut(tracker, site, see))
    }
    await check('a browser seeds', () => seeds(tracker, seeder, facts, dialect))
    await check('another one downloads it over WebRTC', () => downloads(leecher, facts))
    await check('the tracker counts both', () => counts(tracker, facts, 2))
    await check('neither browser has a complaint', () => complaints([seeder, leecher]))
    await leecher.browser.close()
    await check('a browser that is closed is gone at once', () => counts(tracker, facts, 1))
    await seeder.browser.close()
    await check('and the other one, too', () => counts(tracker, facts, 0))
  } finally {
    await Promise.all([seeder.browser.close(), leecher.browser.close()])
    site.close()
  }
  await tracker.close()
}

/// Whoever does not trust the authority gets no connection: what the others get, they get by their trust.
async function isKeptOut (tracker, site, see) {
  const stranger = await openBrowser(site, see)
  const opens = url => new Promise(resolve => {
    const socket = new WebSocket(url)
    socket.onopen = () => resolve(true)
    socket.onerror = () => resolve(false)
  })
  try {
    assert.equal(await stranger.page.evaluate(opens, urlOf(tracker, 'wss')), false)
  } finally {
    await stranger.browser.close()
  }
}

async function seeds (tracker, seeder, facts, dialect) {
  const announce = urlOf(tracker, dialect)
  const made = await seeder.page.evaluate(([size, url]) => window.seed(size, url), [SIZE, announce])
  assert.deepEqual(made.announce, [announce])
  Object.assign(facts, made)
  await eventually(async () => (await ask(tracker, facts)).slice(0, 2), [1, 0])
  // The package says `completed` of data that it made itself, too: that is no download.
  if (!tracker.isReference) assert.equal((await ask(tracker, facts))[2], 0, 'downloads')
}

async function downloads (leecher, facts) {
  const got = await leecher.page.evaluate(magnet => window.download(magnet), facts.magnet)
  assert.deepEqual(got.announce, facts.announce)
  assert.equal(got.size, SIZE)
  assert.equal(got.sha256, facts.sha256)
  assert.deepEqual(got.peers, ['webrtc'])
}

async function counts (tracker, facts, seeders) {
  await eventually(async () => (await ask(tracker, facts)).slice(0, 2), [seeders, 0])
  // A tracker may forget its downloads with the last peer; the package's has no count of them.
  if (!seeders || tracker.isReference) return
  assert.equal((await ask(tracker, facts))[2], 1, 'downloads')
}

async function complaints (browsers) {
  for (const { page } of browsers) assert.deepEqual(await page.evaluate(() => window.troubles()), [])
}

async function ask (tracker, { infoHash }) {
  return (await scrape(tracker, 'udp', [infoHash]))[infoHash]
}

/// A browser with the page; it trusts the authority, if there is one, beside those that it knows.
async function openBrowser (site, see, authority) {
  const { chromium } = await importFile('playwright-core/index.mjs')
  const browser = await chromium.launch({
    executablePath: CHROMIUM,
    env: authority ? { ...process.env, HOME: authority.home } : process.env,
    args: [
      // Root may not run Chromium in its sandbox; the pages are our own.
      '--no-sandbox',
      '--no-zygote',
      // The names that hide addresses in offers need multicast, which a container may not have.
      '--disable-features=WebRtcHideLocalIpsWithMdns',
      // Nothing but this machine exists.
      '--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1'
    ]
  })
  const page = await browser.newPage()
  page.on('console', message => see(`console: ${message.text()}`))
  page.on('pageerror', error => see(`page: ${error.message}`))
  await page.goto(`http://127.0.0.1:${site.address().port}/`)
  await page.waitForFunction(() => window.ready)
  return { browser, page }
}

async function serveFiles () {
  const site = http.createServer(async (request, response) => {
    const found = FILES[request.url]
    if (!found) return response.writeHead(404).end()
    response.writeHead(200, { 'content-type': found[0] }).end(await readFile(found[1]))
  })
  site.listen(0, '127.0.0.1')
  await once(site, 'listening')
  return site
}
