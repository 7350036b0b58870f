// What a part of the tests reports to: one line for each check, with the time that it took.

/// The checks of one part. A check that fails does not keep the next one from being made.
export class Checks {
  constructor (part) {
    this.part = part
    this.passed = 0
    this.failed = 0
    this.current = null
  }

  async run (name, body, evidence = () => '') {
    const began = performance.now()
    this.current = name
    try {
      const note = await body()
      this.passed += 1
      this.print('ok  ', name, began, note ? `  (${note})` : '')
    } catch (error) {
      this.failed += 1
      this.print('FAIL', name, began, `\n${error.stack ?? error}\n${evidence()}`)
    }
    this.current = null
  }

  print (verdict, name, began, rest) {
    const seconds = ((performance.now() - began) / 1000).toFixed(2).padStart(6)
    console.log(`${verdict} ${this.part.padEnd(8)} ${name.padEnd(62)} ${seconds} s${rest}`)
  }
}
