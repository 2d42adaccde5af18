// An application with many end users behind one login and one small pool. What
// it sees it holds against what each of them should.
import jwt from 'jsonwebtoken'
import pg from 'pg'
import {ssl} from '../settings.js'
import {as, key} from './recipe.js'

const agent = (name, region, ...sees) => ({name, roles: ['agent'], attributes: {region}, sees: sees.join(' ')})
const users = [agent('anna', 'EU', 1, 2, 3, 4, 10), agent('bert', 'US', 5, 6, 7), agent('chloë', 'APAC', 8, 9), agent("d'Or", 'EU', 1, 2, 3, 4, 10)]
const requests = 240
const workers = 8 // four for each connection
const customers = {name: 'customers', text: 'SELECT id FROM customers WHERE id > $1 ORDER BY id', values: [0]}

const sees = async client => (await client.query(customers)).rows.map(r => r.id).join(' ')
const state = promise => promise.then(() => 'ok', e => e.code ?? e.message)

// Says what became of one request. Some fail amid their transaction, and some
// come without a token.
async function request(pool, user, i) {
  if (i % 5 === 4) return `without a token: ${await state(sees(pool))}`
  let own = false
  const outcome = await state(as(pool, user, async client => {
    own = await sees(client) === user.sees
    if (i % 5 === 2) await client.query('SELECT 1/0')
  }))
  return `own rows ${own}: ${outcome}`
}

// Answers requests of all users at once.
async function serve(pool) {
  const outcomes = {}
  await Promise.all(Array.from({length: workers}, async (_, w) => {
    for (let i = w; i < requests; i += workers) {
      const outcome = await request(pool, users[Math.floor(i / 5) % users.length], i)
      outcomes[outcome] = (outcomes[outcome] ?? 0) + 1
    }
  }))
  console.log('# requests')
  for (const outcome of Object.keys(outcomes).sort()) console.log(outcomes[outcome], outcome)
}

// Makes a token; more replaces or adds claims.
function sign(id, name, secret, more) {
  const now = Math.floor(Date.now() / 1000)
  return jwt.sign({iss: 'crm', aud: 'pgveil', sub: name, roles: ['agent'], attributes: {region: 'EU'}, jti: id, iat: now, exp: now + 60, ...more}, secret)
}

// Has one prepared statement run for one user after the other.
async function prepared(client) {
  console.log('# prepared once')
  for (const user of users) {
    await client.query(`SET pgveil.token = '${sign('prepared for ' + user.name, user.name, key, {attributes: user.attributes})}'`)
    console.log(`${user.name} [${await sees(client)}] ok`)
  }
  console.log('nobody', await state(client.query('RESET pgveil.token')), await state(sees(client)))
}

// Tries tokens that must not count. The client is one of the pool's two, so that
// the pool gives the other.
async function refused(pool, client) {
  console.log('# refused')
  const past = Math.floor(Date.now() / 1000) - 3600
  for (const [name, secret, more] of [
    ['good', key, {}],
    ['forged', 'another secret of 32 bytes or more', {}],
    ['expired', key, {iat: past, exp: past + 60}],
    ['for others', key, {aud: 'another'}],
    ['more than the login may', key, {roles: ['dba']}],
  ]) {
    const set = `SET pgveil.token = '${sign(name, 'anna', secret, more)}'`
    console.log(`${name}: ${await state(client.query(set))}, on another connection: ${await state(pool.query(set))}`)
  }
  console.log('unsigned:', await state(pool.query("SET pgveil.end_user = 'anna'")))
}

const pool = new pg.Pool({max: 2, ssl})
await serve(pool)
const client = await pool.connect()
await prepared(client)
await refused(pool, client)
client.release()
await pool.end()
