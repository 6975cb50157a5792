// node-postgres: parameters, named statements, cursors with a row limit, errors, the pool.
//     use_pg.js HOST PORT
'use strict';
const assert = require('node:assert/strict');
const { Client, Pool } = require('pg');
const Cursor = require('pg-cursor');

const place = {
  host: process.argv[2], port: Number(process.argv[3]), user: 'analyst', database: 'canon',
  connectionTimeoutMillis: 10_000,
};
const BY_CHANNEL = [
  { channel: 'app', r: '78.00' }, { channel: 'shop', r: '90.00' }, { channel: 'web', r: '337.00' },
];
const QUESTION = 'SELECT channel, SUM(revenue) AS r FROM orders GROUP BY channel ORDER BY channel';
const TOTAL = 'SELECT SUM(revenue) AS r FROM orders WHERE channel = $1';

function check(what, expected, got) {
  assert.deepEqual(got, expected, `FAILED ${what}`);
  console.log('ok', what);
}

async function main() {
  const client = new Client(place);
  await client.connect();
  check('groups', BY_CHANNEL, (await client.query(QUESTION)).rows);
  check('a parameter', [{ r: '90.00' }], (await client.query(TOTAL, ['shop'])).rows);
  check('a parameter that finds nothing', [{ r: null }], (await client.query(TOTAL, ["o'web\\"])).rows);
  check('several parameters', [{ n: '2', r: '90.00' }], (await client.query(
    'SELECT COUNT(*) AS n, SUM(revenue) AS r FROM orders WHERE channel = $1 AND gross_amount > $2 AND order_id < $3',
    ['shop', '40.50', 8])).rows);
  check('an array parameter', [{ n: '5' }], (await client.query(
    'SELECT COUNT(*) AS n FROM orders WHERE channel = ANY($1)', [['shop', 'app']])).rows);
  check('an array parameter of bigints', [{ n: '3' }], (await client.query(
    'SELECT COUNT(*) AS n FROM orders WHERE order_id = ANY($1)', [[1, 2, 3]])).rows);
  check('a cast array parameter', [{ n: '3' }], (await client.query(
    'SELECT COUNT(*) AS n FROM orders WHERE order_id = ANY($1::int[]) AND channel <> ALL($2::text[])', [[1, 2, 3], []])).rows);
  check('a date as a parameter', [{ n: '5' }], (await client.query(
    'SELECT COUNT(*) AS n FROM orders WHERE completed_at >= $1', [new Date('2026-03-04T00:00:00Z')])).rows);
  check('types', [{ order_id: '9', items: 4, rating: 4, completed_at: new Date('2026-03-29T01:00:00Z'),
    discount_amount: '0.00', customer_country: 'DE' }], (await client.query(
    'SELECT order_id, items, rating, completed_at, discount_amount, customer_country FROM orders WHERE order_id = $1',
    [9])).rows);
  const array = await client.query({ text: QUESTION, rowMode: 'array' });
  check('rows as arrays', BY_CHANNEL.map(({ channel, r }) => [channel, r]), array.rows);
  check('names, type numbers and the tag', [['channel', 'r'], [25, 1700], 'SELECT', 3],
    [array.fields.map((f) => f.name), array.fields.map((f) => f.dataTypeID), array.command, array.rowCount]);
  for (let turn = 0; turn < 7; turn += 1) {
    const named = { name: 'total', text: TOTAL, values: [BY_CHANNEL[turn % 3].channel] };
    check(`a named statement, turn ${turn}`, [{ r: BY_CHANNEL[turn % 3].r }], (await client.query(named)).rows);
  }
  const several = await client.query(`SELECT 1 AS one; ${QUESTION}`);
  check('two statements', [[{ one: 1 }], BY_CHANNEL], several.map((result) => result.rows));

  const cursor = client.query(new Cursor('SELECT order_id FROM orders WHERE order_id > $1 ORDER BY order_id', [0]));
  const sizes = [];
  for (let rows = await cursor.read(4); rows.length > 0; rows = await cursor.read(4)) sizes.push(rows.length);
  check('a cursor, four rows at a time', [4, 4, 3], sizes);
  await cursor.close();
  const early = client.query(new Cursor('SELECT order_id FROM orders ORDER BY order_id'));
  check('a cursor closed early', [{ order_id: '1' }, { order_id: '2' }], await early.read(2));
  await early.close();
  check('and the session goes on', BY_CHANNEL, (await client.query(QUESTION)).rows);

  await assert.rejects(client.query('SELECT no_such_column FROM orders'), { code: '42703' });
  await assert.rejects(client.query('SELECT no_such_column FROM orders WHERE order_id = $1', [1]), { code: '42703' });
  await assert.rejects(client.query('SELEC 1'), { code: '42601' });
  check('after errors', BY_CHANNEL, (await client.query(QUESTION)).rows);
  await client.query('BEGIN');
  await assert.rejects(client.query('SELECT 1 / 0'), { code: '22012' });
  await assert.rejects(client.query('SELECT 1'), { code: '25P02' });
  await client.query('ROLLBACK');
  check('after ROLLBACK', BY_CHANNEL, (await client.query(QUESTION)).rows);
  await client.end();

  const pool = new Pool({ ...place, max: 4 });
  const answers = await Promise.all(Array.from({ length: 15 }, (_, i) => pool.query(TOTAL, [BY_CHANNEL[i % 3].channel])));
  check('a pool', Array.from({ length: 15 }, (_, i) => BY_CHANNEL[i % 3].r), answers.map(({ rows }) => rows[0].r));
  await pool.end();
}

main().catch((error) => {
  console.error(error);
  process.exit(1);
});
