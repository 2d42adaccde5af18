// postgres.js, which describes, prepares and pipelines whatever it is given.
import postgres from 'postgres'
import {attempt, print, ssl} from '../settings.js'

delete process.env.PGSSLMODE
const connect = (options = {}) => postgres({ssl, max: 2, onnotice: n => console.log(n.severity, n.message), ...options})

const show = query => attempt(query, rows => {
  print(rows)
  return `${rows.command} ${rows.count}`
})

async function transaction(sql, failing) {
  console.log('# a failure in a transaction')
  await attempt(sql.begin(async t => {
    await attempt(t.unsafe(failing))
    await attempt(t`SELECT 'not any more'`)
  }))
  await attempt(sql.begin(async t => {
    await t`SELECT 1`
    await attempt(t.savepoint(s => s.unsafe(failing)))
    await show(t`SELECT 'again'`)
  }), () => 'committed')
}

async function cursors(query) {
  console.log('# a cursor')
  for await (const rows of query().cursor(2)) print(rows)
  await query().forEach(row => print([row]))
}

async function copy(sql, statement) {
  await attempt((async () => {
    for await (const chunk of await sql.unsafe(statement).readable()) process.stdout.write(chunk)
  })())
}

const work = {
  async alice(sql) {
    await show(sql`SELECT id, first_name, last_name, email, phone, card, birth_date::text, last_ip, credit_limit, notes FROM customers ORDER BY id`)
    for (const id of [1, 2, 3]) await show(sql`SELECT id, email FROM customers WHERE id = ${id}`)
    await show(sql`SELECT id, card FROM customers WHERE card = ${'4111111110201111'}`)
    await show(sql`SELECT id, email FROM customers WHERE id IN ${sql([3, 4])}`)
    for (const id of [1, 2]) await show(sql`SELECT id, ssn FROM customers WHERE id = ${id}`)
    await show(sql`UPDATE customers SET ${sql({email: 'a***@example.de', notes: '***', country: 'DE'})} WHERE id = ${1}`)
    await show(sql`DELETE FROM customers WHERE id = ${1}`)
    await show(sql`INSERT INTO tickets ${sql([1, 2].map(id => ({customer_id: id, region: 'EU', subject: 'by node', body: 'mail a@example.org', opened_at: '2026-11-22'})))} RETURNING id, body`)
    await transaction(sql, 'SELECT ssn FROM customers')
    await cursors(() => sql`SELECT id, email FROM customers ORDER BY id`)
    console.log('# together')
    const results = await Promise.allSettled([sql`SELECT 1 AS one`, sql`SELECT ssn FROM customers`, sql`SELECT id, email FROM customers WHERE id = 2`])
    console.log(results.map(r => r.status === 'fulfilled' ? JSON.stringify(r.value) : r.reason.code).join(' '))
    console.log('# copying')
    await copy(sql, 'COPY (SELECT id, email FROM customers ORDER BY id) TO STDOUT')
    await copy(sql, 'COPY customers (id, ssn) TO STDOUT')
  },

  async crm_app(sql) {
    await show(sql`SELECT id, email FROM crm.customers WHERE id = 1`)
    const s = connect({connection: {'pgveil.purpose': 'support'}})
    const [customer] = await s`SELECT id, first_name, last_name, email, phone, city, preferences, interests, notes FROM crm.customers WHERE id = 1`
    print([customer])
    customer.interests.push('chess')
    await show(s`UPDATE crm.customers SET ${s(customer)} WHERE id = ${customer.id}`)
    await show(s`SELECT id, last_name, email, interests FROM crm.customers WHERE id = 1`)
    await s.end()
  },

  async dora(sql) {
    await show(sql`SELECT * FROM customers ORDER BY id`)
    await show(sql`SELECT ${1}::int, ${'tëxt'}::text, ${Buffer.from([0, 255])}::bytea, ${new Date(0)}::timestamptz, ${sql.array(['x', 'y, z'])}::text[], ${sql.json({a: [1, null]})}, ${0.1}::float8`)
    await show(sql`INSERT INTO countries ${sql([{code: 'NO', name: 'Norway', region: 'EU'}])}`)
    await show(sql`INSERT INTO countries ${sql([{code: 'NO', name: 'Norway', region: 'EU'}])}`)
    await show(sql`SELECT 1 AS one; SELECT 2 AS two`.simple())
    await transaction(sql, 'SELECT 1 / 0')
    await cursors(() => sql`SELECT id, total FROM orders ORDER BY id`)
    await copy(sql, 'COPY countries TO STDOUT')
    console.log(await sql`SELECT * FROM orders WHERE id = ${1}`.describe().then(d => d.columns.map(c => [c.name, c.type])))
    let heard
    const told = new Promise(resolve => { heard = resolve })
    const {unlisten} = await sql.listen('birds', p => { console.log('notified', p); heard() })
    await sql.notify('birds', 'tit')
    await told
    await unlisten()
    const slow = sql`SELECT pg_sleep(30)`
    setTimeout(() => slow.cancel(), 200)
    await attempt(slow)
    await show(sql`SELECT 'again'`)
  },
}[process.argv[2]]

const sql = connect()
await work(sql)
await sql.end()
