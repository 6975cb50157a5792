// postgres.js: tagged statements, pipelines, cursors, COPY, errors.
//     use_postgres.js HOST PORT
'use strict'
const postgres = require('postgres')
const assert = require('assert')

const [host, port] = process.argv.slice(2)
const sql = postgres({ host, port: Number(port), user: 'analyst', database: 'canon', max: 2, connect_timeout: 10 })
const check = (what, expected, got) => {
  assert.deepStrictEqual(got, expected, what)
  console.log('ok', what)
}
const plain = (rows) => rows.map((row) => ({ ...row }))
const BY_CHANNEL = [
  { channel: 'app', r: '78.00' }, { channel: 'shop', r: '90.00' }, { channel: 'web', r: '337.00' }]

async function main () {
  const question = () => sql`SELECT channel, SUM(revenue) AS r FROM orders GROUP BY channel ORDER BY channel`
  check('groups', BY_CHANNEL, plain(await question()))
  const total = (channel) => sql`SELECT SUM(revenue) AS r FROM orders WHERE channel = ${channel}`
  check('a parameter', '90.00', (await total('shop'))[0].r)
  check('one that finds nothing', null, (await total("o'web\\"))[0].r)
  check('a list', [{ n: '5' }], plain(await sql`SELECT COUNT(*) AS n FROM orders WHERE channel IN ${sql(['shop', 'app'])}`))
  check('an array', [{ n: '5' }], plain(await sql`SELECT COUNT(*) AS n FROM orders WHERE channel = ANY(${['shop', 'app']})`))
  check('an instant', [{ n: '5' }], plain(await sql`SELECT COUNT(*) AS n FROM orders WHERE completed_at >= ${new Date('2026-03-04T00:00:00Z')}`))
  check('a date comes as one', '2024-02-29T00:00:00.000Z',
    (await sql`SELECT signed_up_on AS d FROM customers WHERE signed_up_on IS NOT NULL ORDER BY d LIMIT 1`)[0].d.toISOString())
  const answers = await Promise.all(['shop', 'app', 'web', 'shop'].map((channel) => total(channel)))
  check('a pipeline', ['90.00', '78.00', '337.00', '90.00'], answers.map((rows) => rows[0].r))
  const sizes = []
  await sql`SELECT order_id FROM orders ORDER BY order_id`.cursor(4, (rows) => { sizes.push(rows.length) })
  check('a cursor of 4', [4, 4, 3], sizes)
  let seen = 0
  await sql`SELECT order_id FROM orders`.forEach(() => { seen += 1 })
  check('row by row', 11, seen)
  const copied = []
  for await (const chunk of await sql`COPY (SELECT 1 AS a, 'b' AS b) TO STDOUT`.readable()) copied.push(chunk.toString())
  check('COPY', '1\tb\n', copied.join(''))
  check('several statements', 2, (await sql.unsafe('SELECT 1 AS a; SELECT 2 AS b').simple()).length)
  check('described', ['order_id', 'channel'],
    (await sql`SELECT order_id, channel FROM orders WHERE channel = ${'x'}`.describe()).columns.map((column) => column.name))
  const error = await sql`SELECT no_such_column FROM orders`.catch((error) => error)
  check("the error's code", '42703', error.code)
  const inside = await sql.begin('read only', async (sql) => {
    await sql.savepoint((sql) => sql`SELECT * FROM no_such_table`).catch((error) => check('in a savepoint', '42P01', error.code))
    return sql`SELECT COUNT(*) AS n FROM orders`
  })
  check('after the savepoint', [{ n: '11' }], plain(inside))
  await sql.end()
}

main().catch((error) => { console.error(error); process.exit(1) })
