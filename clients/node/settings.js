// What the drivers do not read from the environment themselves.
import fs from 'node:fs'

export const ssl = {ca: fs.readFileSync(process.env.PGSSLROOTCERT, 'utf8'), rejectUnauthorized: true}

// Prints rows, each value as the driver has it.
export function print(rows) {
  for (const row of rows) {
    console.log(Object.values(row).map(v => v === null ? 'null' : typeof v === 'object' ? JSON.stringify(v) : String(v)).join('|'))
  }
}

// Prints what a promise gives, or the server's error.
export async function attempt(promise, then = x => x) {
  try {
    const value = await then(await promise)
    if (value !== undefined) console.log(value)
  } catch (e) {
    const {code, message} = e.parent ?? e
    console.log('error', code, message.split(' - ').at(-1))
  }
}
