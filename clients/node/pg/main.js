// node-postgres, with its cursors, streams and COPY.
import {pipeline} from 'node:stream/promises'
import {Readable} from 'node:stream'
import pg from 'pg'
import Cursor from 'pg-cursor'
import QueryStream from 'pg-query-stream'
import {from as copyFrom, to as copyTo} from 'pg-copy-streams'
import {attempt, print, ssl} from '../settings.js'

async function connect(options = {}) {
  delete process.env.PGSSLMODE // it does not know verify-full with a file
  const client = new pg.Client({ssl, ...options})
  await client.connect()
  return client
}

const show = (client, ...query) => attempt(client.query(...query), ({rows, command, rowCount}) => {
  print(rows)
  return `${command} ${rowCount}`
})

async function transaction(client, failing) {
  console.log('# a failure in a transaction')
  await client.query('BEGIN')
  await show(client, failing)
  await show(client, "SELECT 'not any more'")
  await client.query('ROLLBACK')
  await show(client, "SELECT 'again'")
}

async function cursors(client, query, failing) {
  console.log('# a cursor and a stream')
  const cursor = client.query(new Cursor(query))
  print(await cursor.read(2))
  print(await cursor.read(1))
  await cursor.close()
  for await (const row of client.query(new QueryStream(query, [], {batchSize: 2}))) print([row])
  await attempt(client.query(new Cursor(failing)).read(1))
  await show(client, "SELECT 'again'")
}

async function copy(client, out, into, text) {
  console.log('# copying')
  for (const statement of out) {
    await attempt((async () => {
      for await (const chunk of client.query(copyTo(statement))) process.stdout.write(chunk)
    })())
  }
  for (const statement of into) {
    const stream = client.query(copyFrom(statement))
    await attempt(pipeline(Readable.from([text]), stream), () => `COPY ${stream.rowCount}`)
  }
  await show(client, "SELECT 'again'")
}

// Sends statements without waiting for their answers; node-postgres queues them.
async function together(client, statements) {
  console.log('# together')
  const results = await Promise.allSettled(statements.map(s => client.query(s)))
  console.log(results.map(r => r.status === 'fulfilled' ? JSON.stringify(r.value.rows) : r.reason.code).join(' '))
}

const work = {
  async alice(client) {
    await show(client, 'SELECT id, first_name, last_name, email, phone, card, birth_date::text, last_ip, credit_limit, notes FROM customers ORDER BY id')
    await show(client, 'SELECT id, card FROM customers WHERE card = $1', ['4111111110201111'])
    await show(client, 'SELECT id, email FROM customers WHERE id = ANY ($1)', [[3, 4]])
    for (const id of [1, 2]) await show(client, {name: 'named', text: 'SELECT id, email FROM customers WHERE id = $1', values: [id]})
    for (const id of [1, 2]) await show(client, {name: 'refused', text: 'SELECT id, ssn FROM customers WHERE id = $1', values: [id]})
    await show(client, 'UPDATE customers SET email = $2, country = $3 WHERE id = $1', [1, 'a***@example.de', 'DE'])
    await show(client, 'DELETE FROM customers WHERE id = $1', [1])
    await transaction(client, 'SELECT ssn FROM customers')
    await cursors(client, 'SELECT id, email FROM customers ORDER BY id', 'SELECT ssn FROM customers')
    await copy(client, ['COPY (SELECT id, email FROM customers ORDER BY id) TO STDOUT', 'COPY customers (id, ssn) TO STDOUT'],
      ['COPY tickets (customer_id, region, subject, body, opened_at) FROM STDIN', 'COPY orders FROM STDIN'], '1\tEU\tby node\ttext\t2026-11-22\n')
    await together(client, ['SELECT id, email FROM customers WHERE id = 1', 'SELECT ssn FROM customers', 'SELECT id, email FROM customers WHERE id = 2'])
  },

  async crm_app(client) {
    await show(client, 'SELECT id, email FROM crm.customers WHERE id = 1')
    for (const purpose of ['support', 'sales']) {
      const c = await connect({options: `-c pgveil.purpose=${purpose}`})
      const {rows: [row]} = await c.query('SELECT id, first_name, last_name, email, phone, city, preferences, interests, notes FROM crm.customers WHERE id = 1')
      print([row])
      row.interests.push('chess')
      await show(c, 'UPDATE crm.customers SET first_name = $2, last_name = $3, email = $4, phone = $5, city = $6, preferences = $7, interests = $8, notes = $9 WHERE id = $1', Object.values(row))
      await show(c, 'SELECT id, last_name, email, interests FROM crm.customers WHERE id = 1')
      await c.end()
    }
  },

  async dora(client) {
    await show(client, 'SELECT * FROM customers ORDER BY id')
    await show(client, 'SELECT $1::int, $2::text, $3::bytea, $4::timestamptz, $5::text[], $6::jsonb, $7::float8', [1, 'tëxt', Buffer.from([0, 255]), new Date(0), ['x', 'y, z'], {a: [1, null]}, 0.1])
    for (const id of [1, 2]) await show(client, {name: 'named', text: 'SELECT * FROM orders WHERE id = $1', values: [id]})
    const several = await client.query('SELECT 1 AS one; SELECT 2 AS two; UPDATE orders SET total = 1 WHERE id < 3')
    console.log(several.map(r => [r.command, r.rowCount]))
    await transaction(client, 'SELECT 1 / 0')
    await cursors(client, 'SELECT id, total FROM orders ORDER BY id', 'SELECT 1 / 0')
    await copy(client, ['COPY countries TO STDOUT'], ['COPY tickets (customer_id, region, subject, body, opened_at) FROM STDIN', 'COPY orders FROM STDIN'], '1\tEU\tby node\ttext\t2026-11-22\n')
    await together(client, ['SELECT 1', 'SELECT 1 / 0', 'SELECT 2'])
    console.log('# notices and notifications')
    client.on('notice', n => console.log(n.severity, n.message))
    const notified = new Promise(resolve => client.on('notification', n => resolve([n.channel, n.payload])))
    await client.query("DO $$ BEGIN RAISE NOTICE 'noticed'; END $$")
    await client.query('LISTEN birds')
    const pool = new pg.Pool({ssl, max: 3, statement_timeout: 100})
    await Promise.all(Array.from({length: 12}, () => pool.query('SELECT pg_backend_pid()')))
    await pool.query("NOTIFY birds, 'tit'")
    console.log(await notified)
    await attempt(pool.query('SELECT pg_sleep(30)'))
    await pool.end()
  },
}[process.argv[2]]

const client = await connect()
await work(client)
await client.end()
