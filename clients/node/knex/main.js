// Knex: queries built, migrations, and a schema read.
import knex from 'knex'
import {attempt, print, ssl} from '../settings.js'

const {PGHOST: host, PGPORT: port, PGUSER: user, PGPASSWORD: password, PGDATABASE: database} = process.env
const connect = options => knex({client: 'pg', connection: {host, port, user, password, database, ssl, ...options}, pool: {min: 0, max: 2}})
const show = query => attempt(query, rows => Array.isArray(rows) ? print(rows) : rows)

// Loads a customer, changes one thing, and saves all of it.
async function save(db, table, columns, changes) {
  const customer = await db(table).select(columns).where({id: 1}).first()
  print([customer])
  await show(db(table).where({id: 1}).update({...customer, ...changes}))
  await show(db(table).select(columns).where({id: 1}))
}

const work = {
  async alice(db) {
    await show(db('customers').select('id', 'last_name', 'email', 'card').orderBy('id'))
    await show(db('customers').columnInfo('email').then(JSON.stringify))
    await show(db('orders').join('customers', 'customers.id', 'orders.customer_id').select('orders.id', 'customers.email').orderBy('orders.id').limit(2))
    await show(db('customers').count('*').sum({credit: 'credit_limit'}).groupBy('country').select('country').orderBy('country'))
    await show(db('customers').where('last_name', 'like', 'K%').select('id'))
    await show(db('customers').select('ssn'))
    await save(db, 'customers', ['id', 'first_name', 'last_name', 'email', 'phone', 'card', 'credit_limit', 'notes', 'country'], {country: 'IT'})
    await show(db('tickets').insert({customer_id: 1, region: 'EU', subject: 'by knex', body: 'mail a@example.org', opened_at: '2026-11-22'}).returning(['id', 'body']))
    await attempt(db.transaction(t => t('customers').where({id: 1}).del()))
    await attempt(db.transaction(async t => {
      await t('customers').where({id: 1}).forUpdate().select('id')
      await t('customers').select('ssn')
    }))
    await show(db.raw("SELECT 'again' AS so").then(r => r.rows))
    await show(db.schema.createTable('made', t => t.increments()))
  },

  async crm_app() {
    const db = connect({options: '-c pgveil.purpose=support'})
    await save(db, 'crm.customers', ['id', 'first_name', 'last_name', 'email', 'phone', 'city', 'notes'], {city: 'Altona'})
    await db.destroy()
  },

  async dora(db) {
    await show(db('customers').orderBy('id'))
    await save(db, 'customers', ['*'], {country: 'IT'})
    await show(db.schema.createTable('made', t => { t.increments(); t.string('name', 40).notNullable().index(); t.jsonb('data'); t.timestamps(true, true) }))
    await show(db('made').insert([{name: 'a', data: {x: 1}}, {name: 'b'}]).returning(['id', 'name', 'data']))
    await show(db.batchInsert('made', Array.from({length: 500}, (_, i) => ({name: `row ${i}`})), 100).then(r => r.length))
    await show(db('made').columnInfo().then(JSON.stringify))
    await show(db.schema.alterTable('made', t => { t.renameColumn('name', 'title'); t.dropColumn('data') }))
    await show(db.schema.hasTable('made'))
    await show(db('made').max('title').first().then(JSON.stringify))
    await show(db.schema.dropTable('made'))
  },
}[process.argv[2]]

const db = connect()
await work(db)
await db.destroy()
