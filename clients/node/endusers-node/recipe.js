import {randomUUID} from 'node:crypto'
import fs from 'node:fs'
import jwt from 'jsonwebtoken'

export const key = fs.readFileSync(process.env.CRM_KEY_FILE, 'utf8').trim()

// Does work in a transaction that is the user's.
export async function as(pool, user, work) {
  const claims = {sub: user.name, roles: user.roles, attributes: user.attributes, jti: randomUUID(), transaction: true}
  const token = jwt.sign(claims, key, {issuer: 'crm', audience: 'pgveil', expiresIn: 60})
  const client = await pool.connect()
  try {
    await client.query(`BEGIN; SET LOCAL pgveil.token = '${token}'`)
    await work(client)
    await client.query('COMMIT')
  } catch (e) { await client.query('ROLLBACK'); throw e } finally { client.release() }
}
