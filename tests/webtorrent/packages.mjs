// Finds the npm packages that install.sh put below target/: they are outside of this folder, where `import` with a
// bare name does not look.

import { createRequire } from 'node:module'
import path from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'

const ROOT = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '../..')
const MODULES = path.join(ROOT, 'target/webtorrent/node_modules')

/// The path of a file of a package.
export function fileOf (name) {
  return path.join(MODULES, name)
}

/// Imports a file of a package.
export function importFile (name) {
  return import(pathToFileURL(fileOf(name)).href)
}

/// The `require` that a file of a package would have.
export function requireOf (name) {
  return createRequire(fileOf(name))
}
