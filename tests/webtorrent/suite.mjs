// Part `suite`: the npm package's own tests, with evenkeel in the place of its server, file by file. The result is held
// against expected.mjs, assertion by assertion.

import assert from 'node:assert/strict'
import { readdir } from 'node:fs/promises'
import { fileURLToPath } from 'node:url'

import { FILES, LEFT_OUT, NOT_RUN } from './expected.mjs'
import { fileOf } from './packages.mjs'
import { finish } from './processes.mjs'

export const limitSecs = 120

const RUNNER = fileURLToPath(new URL('suite-file.mjs', import.meta.url))

export async function run ({ checks, evenkeel, isReference, verbose }) {
  await checks.run('every file of the tests is either run or named', async () => {
    const files = await readdir(fileOf('bittorrent-tracker-tests/test'))
    assert.deepEqual(files.sort(), [...Object.keys(FILES), ...Object.keys(NOT_RUN)].sort())
  })
  for (const [file, expected] of Object.entries(FILES)) {
    await checks.run(file, async () => {
      const done = await finish(process.execPath, [RUNNER, file, ...(isReference ? [] : [evenkeel])])
      const results = read(done.out)
      if (verbose) console.log(describe(results))
      assert.equal(done.status, 0, done.err)
      const passes = isReference ? expected.assertions : expected.passes
      const fails = isReference ? [] : LEFT_OUT.filter(one => one.file === file)
      compare(results, { tests: expected.tests, passes, fails })
      return `${passes} of ${expected.assertions} assertions, as expected`
    })
  }
}

/// Each assertion with the name of its test and its number in it.
function read (lines) {
  const tests = new Map()
  const assertions = []
  for (const row of lines.split('\n').filter(Boolean).map(line => JSON.parse(line))) {
    if (row.type === 'test') tests.set(row.id, { name: row.name, count: 0 })
    if (row.type !== 'assert') continue
    const test = tests.get(row.test)
    test.count += 1
    assertions.push({ ...row, test: test.name, label: `${test.count}: ${row.name}` })
  }
  return { tests: [...tests.values()], assertions }
}

function compare ({ tests, assertions }, expected) {
  const failed = assertions.filter(one => !one.ok)
  const seen = failed.map(one => `${one.test} > ${one.label}`)
  const known = expected.fails.flatMap(({ test, fails }) => fails.map(label => `${test} > ${label}`))
  const problems = [
    ...failed.filter((one, index) => !known.includes(seen[index])).map(one =>
      `fails: ${one.test} > ${one.label} (is ${one.actual}, should be ${one.expected})`),
    ...known.filter(label => !seen.includes(label)).map(label => `does not fail as expected.mjs says: ${label}`)
  ]
  const passes = assertions.length - failed.length
  if (passes !== expected.passes) problems.push(`${passes} assertions pass, expected.mjs says ${expected.passes}`)
  if (tests.length !== expected.tests) problems.push(`${tests.length} tests ran, expected.mjs says ${expected.tests}`)
  assert.ok(problems.length === 0, problems.join('\n'))
}

function describe ({ assertions }) {
  return assertions.map(({ ok, test, label }) => `  ${ok ? 'ok  ' : 'FAIL'} ${test} > ${label}`).join('\n')
}
