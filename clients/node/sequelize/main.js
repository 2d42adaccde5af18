// Sequelize: models loaded, changed and saved.
import {DataTypes, Op, Sequelize, Transaction} from 'sequelize'
import {attempt, print, ssl} from '../settings.js'

const {PGHOST: host, PGPORT: port, PGUSER: user, PGPASSWORD: password, PGDATABASE: database} = process.env
const login = process.argv[2]
const schema = login === 'crm_app' ? 'crm' : 'public'
const db = new Sequelize(database, user, password, {
  host, port, dialect: 'postgres', logging: false, define: {timestamps: false, schema}, pool: {max: 2},
  dialectOptions: {ssl, ...(login === 'crm_app' && {options: '-c pgveil.purpose=support'})},
})

const text = DataTypes.TEXT
const Customer = db.define('customer', {
  id: {type: DataTypes.INTEGER, primaryKey: true, autoIncrement: true},
  first_name: text, last_name: text, email: text, phone: text, card: text, birth_date: DataTypes.DATEONLY,
  credit_limit: DataTypes.DECIMAL, notes: text, region: text, country: text,
}, {tableName: 'customers'})
const Order = db.define('order', {status: text, total: DataTypes.DECIMAL}, {tableName: 'orders'})
const Ticket = db.define('ticket', {region: text, subject: text, body: text, opened_at: DataTypes.DATE}, {tableName: 'tickets'})
Order.belongsTo(Customer, {foreignKey: 'customer_id'})
Customer.hasMany(Order, {foreignKey: 'customer_id'})
Ticket.belongsTo(Customer, {foreignKey: 'customer_id'})

async function restricted() {
  for (const c of await Customer.findAll({order: ['id']})) print([c.get()])
  for (const c of await Customer.findAll({include: Order, where: {id: {[Op.lte]: 2}}, order: ['id', [Order, 'id', 'ASC']]})) {
    console.log(c.email, c.orders.map(o => o.status))
  }
  console.log((await Customer.findAndCountAll({where: {email: {[Op.iLike]: '%example.de'}}, limit: 1})).count)
  const customer = await Customer.findByPk(1)
  customer.country = 'IT'
  await attempt(customer.save(), c => c.country)
  for (const key of Object.keys(customer.get())) customer.changed(key, key !== 'id') // save all of it
  await attempt(customer.save(), c => c.country)
  print([(await customer.reload()).get()])
  await attempt(Ticket.create({customer_id: 1, region: 'EU', subject: 'by Sequelize', body: 'mail a@example.org', opened_at: '2026-11-22'}), t => t.body)
  await attempt(Ticket.findOrCreate({where: {subject: 'by Sequelize'}}), ([t, made]) => `${t.body} ${made}`)
  await attempt(Customer.destroy({where: {id: 1}}))
  await attempt(Customer.findAll({attributes: ['ssn']}))
  await attempt(db.transaction({isolationLevel: Transaction.ISOLATION_LEVELS.REPEATABLE_READ}, async transaction => {
    await Customer.findByPk(1, {transaction, lock: true})
    await Customer.findOne({attributes: ['ssn'], transaction})
  }))
  await attempt(Order.count())
  await attempt(db.getQueryInterface().describeTable({tableName: 'tickets', schema}), d => Object.keys(d).join(' '))
  await attempt(db.getQueryInterface().showAllTables(), t => JSON.stringify(t.sort()))
}

async function dora() {
  for (const c of await Customer.findAll({order: ['id']})) print([c.get()])
  const [found, made] = await Customer.findOrCreate({where: {email: 'anna.keller@example.de'}})
  found.country = 'IT'
  console.log(made, (await found.save()).country)
  const Made = db.define('made', {name: {type: DataTypes.STRING, unique: true}, kind: DataTypes.ENUM('a', 'b'), tags: DataTypes.ARRAY(DataTypes.STRING)})
  await Made.sync({force: true})
  await Made.bulkCreate([{name: 'x', kind: 'a', tags: ['t']}, {name: 'y'}])
  await Made.upsert({name: 'x', kind: 'b'}, {conflictFields: ['name']})
  print((await Made.findAll({order: ['name']})).map(m => m.get()))
  await attempt(Made.create({name: 'x'}))
  await Made.sync({alter: true})
  console.log(JSON.stringify(await db.getQueryInterface().describeTable('mades')), JSON.stringify((await db.getQueryInterface().showAllTables()).sort()))
  await Made.drop()
}

await (login === 'dora' ? dora() : restricted())
await db.close()
