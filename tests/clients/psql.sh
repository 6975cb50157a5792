#!/usr/bin/env bash
# psql: commands, listings, variables, scripts that stop or go on at an error.
#     psql.sh HOST PORT
set -euo pipefail
export PGHOST=$1 PGPORT=$2 PGUSER=analyst PGDATABASE=canon PGAPPNAME=psql PGCONNECT_TIMEOUT=10
run() { psql -X -A -t -q "$@"; }

expect() { # what, expected, got
  if [[ $2 != "$3" ]]; then
    printf 'FAILED %s\nexpected:\n%s\ngot:\n%s\n' "$1" "$2" "$3"
    exit 1
  fi
  echo "ok $1"
}
contains() { # what, part, text
  if [[ $3 != *"$2"* ]]; then
    printf 'FAILED %s: no "%s" in:\n%s\n' "$1" "$2" "$3"
    exit 1
  fi
  echo "ok $1"
}

by_channel=$'app|78.00\nshop|90.00\nweb|337.00'
question='SELECT channel, SUM(revenue) FROM orders GROUP BY channel ORDER BY channel'

expect 'a statement' 505.00 "$(run -c 'SELECT SUM(revenue) FROM orders')"
expect 'groups' "$by_channel" "$(run -c "$question")"
expect 'two statements in one message' $'1\n505.00' "$(run -c 'SELECT 1; SELECT SUM(revenue) FROM orders')"
expect 'two commands' $'1\n505.00' "$(run -c 'SELECT 1' -c 'SELECT SUM(revenue) FROM orders')"
expect 'standard input' "$by_channel" "$(run <<<"$question;")"
expect 'csv' $'channel,r\nshop,90.00' \
  "$(psql -X -q --csv -c "SELECT channel, SUM(revenue) AS r FROM orders WHERE channel = 'shop' GROUP BY 1")"
expect 'expanded' $'channel|shop\nr|90.00' \
  "$(run -x -c "SELECT channel, SUM(revenue) AS r FROM orders WHERE channel = 'shop' GROUP BY 1")"
expect 'NULL is shown as told' '(null)' "$(run -P null='(null)' -c 'SELECT discount_amount FROM orders WHERE order_id = 6')"
expect 'the number of rows' 'SELECT 3' "$(psql -X -c "$question" -c '\echo SELECT :ROW_COUNT' | tail -1)"

expect 'variables' '90.00|78.00' "$(run -v ch=shop <<'SQL'
\set other app
SELECT SUM(revenue) AS one FROM orders WHERE channel = :'ch' \gset
SELECT :'one', SUM(revenue) FROM orders WHERE channel = :'other';
SQL
)"
expect 'a quote in a variable' '0' "$(run -v ch="o'web\\" <<<"SELECT COUNT(*) FROM orders WHERE channel = :'ch';")"

contains '\dt' 'orders' "$(run -c '\dt')"
contains '\d' 'customers' "$(run -c '\d')"
described=$(run -c '\d orders')
for column in order_id channel customer_country gross_amount metric_time revenue; do
  contains "\\d orders: $column" "$column" "$described"
done
contains '\d orders: types' 'numeric(18,2)' "$described"
contains '\dt public.*' 'orders' "$(run -c '\dt public.*')"
contains '\l' 'canon' "$(run -c '\l')"
contains '\dn' 'public' "$(run -c '\dn')"
contains '\conninfo' 'analyst' "$(run -c '\conninfo')"
contains '\d of nothing' 'Did not find any relation' "$(psql -X -c '\d no_such_thing' 2>&1 || true)"

status=0
output=$(run -v ON_ERROR_STOP=1 2>&1 <<<'SELECT no_such_column FROM orders; SELECT 7;') || status=$?
expect 'ON_ERROR_STOP stops' 3 "$status"
contains 'the error names the column' 'no_such_column' "$output"
output=$(run -v VERBOSITY=verbose 2>&1 <<<'SELECT no_such_column FROM orders;' || true)
contains 'the error has its code' '42703' "$output"
output=$(run 2>&1 <<SQL
SELECT no_such_column FROM orders;
$question;
SQL
)
contains 'after an error the session goes on' "$by_channel" "$output"
output=$(run 2>&1 <<'SQL'
BEGIN;
SELECT SUM(revenue) FROM orders;
SELECT no_such_column FROM orders;
SELECT 8;
ROLLBACK;
SELECT SUM(revenue) FROM orders WHERE channel = 'shop';
SQL
)
contains 'a failed transaction refuses' 'current transaction is aborted' "$output"
expect 'and goes on after ROLLBACK' '90.00' "$(tail -1 <<<"$output")"

expect 'SET and SHOW' 'Asia/Tokyo' "$(run -c "SET TimeZone = 'Asia/Tokyo'" -c 'SHOW TimeZone')"
expect 'an instant in the session zone' '2026-01-06 19:00:00+09' \
  "$(PGTZ=Asia/Tokyo run -c 'SELECT completed_at FROM orders WHERE order_id = 1')"
expect 'prepared by hand' '90.00' \
  "$(run -c 'PREPARE q (text) AS SELECT SUM(revenue) FROM orders WHERE channel = $1' -c "EXECUTE q ('shop')")"

expect 'prepared by hand, of expressions' '90.00' \
  "$(run -c 'PREPARE q (text) AS SELECT SUM(revenue) FROM orders WHERE channel = $1' -c "EXECUTE q ('sh' || 'op')")"
expect 'COPY' $'app\t78.00\nshop\t90.00\nweb\t337.00' "$(run -c "COPY ($question) TO STDOUT")"
expect 'COPY as csv' $'channel,sum\napp,78.00\nshop,90.00\nweb,337.00' \
  "$(run -c "COPY ($question) TO STDOUT WITH (FORMAT csv, HEADER)")"
file=$(mktemp)
trap 'rm -f "$file"' EXIT
run -c "\\copy ($question) to '$file' csv header"
expect '\copy to a file' $'channel,sum\napp,78.00\nshop,90.00\nweb,337.00' "$(cat "$file")"
run -c "\\copy customers (customer_id) to '$file'"
expect '\copy of a relation' 5 "$(wc -l <"$file" | tr -d ' ')"
expect 'FETCH_COUNT' "$(seq 1 11)" "$(run -v FETCH_COUNT=4 -c 'SELECT order_id FROM orders ORDER BY order_id')"
expect 'cursors' $'1\n2\n3\n11\n10' "$(run <<'SQL'
BEGIN;
DECLARE c SCROLL CURSOR FOR SELECT order_id FROM orders ORDER BY order_id;
FETCH 3 FROM c;
MOVE FORWARD ALL IN c;
FETCH PRIOR FROM c;
FETCH PRIOR FROM c;
CLOSE c;
COMMIT;
SQL
)"
expect '\gdesc' $'channel|text\nsum|numeric' "$(run <<<"$question \\gdesc" | sed 's/numeric(.*/numeric/')"
expect '\gexec' $'1\n2' \
  "$(run <<<"SELECT 'SELECT ' || n FROM (VALUES ('1'), ('2')) AS v (n) ORDER BY n \\gexec")"
contains '\crosstabview' 'shop|2' \
  "$(run <<<"SELECT channel, 'done' AS what, COUNT(*) FROM orders GROUP BY channel ORDER BY channel \\crosstabview")"

# Every listing answers, with nothing where there is nothing.
for command in '\d' '\d+' '\d orders' '\d+ orders' '\dt' '\dt+' '\dv' '\dm' '\di' '\ds' '\dE' '\df' '\da' '\dT' '\dn' \
  '\dn+' '\du' '\dg' '\dp' '\ddp' '\db' '\dc' '\dC' '\dd' '\dD' '\des' '\deu' '\dew' '\det' '\dF' '\dFd' '\dFp' '\dFt' '\dL' \
  '\do' '\dO' '\dP' '\dRp' '\dRs' '\drds' '\dx' '\dy' '\dX' '\l' '\l+' '\sf now' '\z'; do
  status=0
  output=$(run -c "$command" 2>&1) || status=$?
  [[ $output != *ERROR* ]] || { echo "FAILED $command: $output"; exit 1; }
  echo "ok $command ($status)"
done
