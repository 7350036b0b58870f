// A private authority: certificates for this machine, and a home folder whose browsers trust it.

import assert from 'node:assert/strict'
import { mkdir, mkdtemp } from 'node:fs/promises'
import os from 'node:os'
import path from 'node:path'

import { finish } from './processes.mjs'

const MAKE = 'req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 30'.split(' ')

export class Authority {
  /// Makes one, below the folder for temporary files, which goes with the tests.
  static async make () {
    const home = await mkdtemp(path.join(os.tmpdir(), 'evenkeel-authority-'))
    const authority = new Authority(home)
    await openssl([...MAKE, '-subj', '/CN=authority', '-keyout', authority.key, '-out', authority.certificate])
    // Where Chromium looks for authorities that its user has added.
    const store = path.join(home, '.pki', 'nssdb')
    await mkdir(store, { recursive: true })
    await certutil(['-N', '-d', `sql:${store}`, '--empty-password'])
    await certutil(['-A', '-d', `sql:${store}`, '-n', 'authority', '-t', 'C,,', '-i', authority.certificate])
    return authority
  }

  constructor (home) {
    this.home = home
    this.key = path.join(home, 'authority.key')
    this.certificate = path.join(home, 'authority.pem')
  }

  /// Puts a certificate for this machine, and its key, into a folder.
  async issue (folder) {
    const [certificate, key] = ['certificate.pem', 'key.pem'].map(name => path.join(folder, name))
    const names = ['-addext', 'subjectAltName=IP:127.0.0.1', '-addext', 'basicConstraints=critical,CA:FALSE']
    const signed = ['-CA', this.certificate, '-CAkey', this.key]
    await openssl([...MAKE, '-subj', '/CN=tracker', ...signed, ...names, '-keyout', key, '-out', certificate])
    return { certificate, key }
  }
}

async function openssl (args) {
  const { status, err } = await finish('openssl', args)
  assert.equal(status, 0, `openssl: ${err}`)
}

async function certutil (args) {
  const { status, out, err } = await finish('certutil', args)
  assert.equal(status, 0, `certutil: ${out}${err}`)
}
