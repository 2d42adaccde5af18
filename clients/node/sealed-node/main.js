// node-postgres on sealed columns.
import {pipeline} from 'node:stream/promises'
import {Readable} from 'node:stream'
import pg from 'pg'
import Cursor from 'pg-cursor'
import {from as copyFrom} from 'pg-copy-streams'
import {print, ssl} from '../settings.js'

delete process.env.PGSSLMODE // it does not know verify-full with a file
const ref = 'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'
for (const [i, options] of [{}, {binary: true}].entries()) {
  console.log('#', JSON.stringify(options))
  const client = new pg.Client({ssl, ...options})
  await client.connect()
  const show = async query => {
    const {rows, command, rowCount, fields} = await client.query(query)
    print(rows)
    console.log(command, rowCount, fields.map(f => `${f.name} ${f.dataTypeID}`).join(' '))
  }
  const ssn = `${i}-45-6789`
  await show({text: 'INSERT INTO people VALUES ($1, $2, $3, $4, $5, $6, $7)', values: [i, ssn, '1980-02-29', '1234.50', ref, '2001-02-03 04:05:06.7+00', "it's a note"]})
  for (let n = 0; n < 2; n++) {
    await show({name: 'by ssn', text: 'SELECT ssn, born IS NULL AS unborn, note FROM people WHERE ssn = $1', values: [ssn]})
  }
  if (!options.binary) { // what it does not know in binary form it gives as bytes
    await show({text: 'SELECT id, born, income, ref, seen FROM people WHERE ssn = $1', values: [ssn]})
    await show('SELECT id, born, income, ref, seen FROM people ORDER BY id')
  }
  await show({text: 'UPDATE people SET note = $1, born = $2 WHERE ssn = $3 AND ref = $4 RETURNING note', values: [null, '1981-03-01', ssn, ref]})
  const cursor = client.query(new Cursor('SELECT id, ssn, note FROM people WHERE ssn = ANY ($1) ORDER BY id', [[ssn, 'x']]))
  print(await cursor.read(10))
  await cursor.close()
  await pipeline(Readable.from([`${10 + i}\tcopied ${i}\t2020-01-01\n`]), client.query(copyFrom('COPY people (id, ssn, born) FROM STDIN')))
  await show({text: 'SELECT id, ssn FROM people WHERE born = $1', values: ['2020-01-01']})
  await client.end()
}
