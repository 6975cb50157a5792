use super::*;
use crate::error::ClientError;

fn one(text: &str) -> Statement {
    let mut statements = parse(text).unwrap();
    assert_eq!(statements.len(), 1, "{text}");
    statements.remove(0)
}

/// Message, code and position of a text's error.
fn fault(text: &str) -> (String, &'static str, Option<usize>) {
    let error = match parse(text) {
        Ok(mut statements) => match statements.remove(0) {
            Statement::Refused(error) => error,
            other => panic!("{text}: {other:?}"),
        },
        Err(error) => error,
    };
    (error.to_string(), error.sqlstate(), error.position())
}

fn set(name: &str, value: &str) -> Statement {
    Statement::Set { name: name.to_owned(), value: SetValue::Text(value.to_owned()), local: false }
}

#[test]
fn empty_texts_have_no_statements() {
    for text in ["", " \n", ";", " ; ;", "-- only a remark", "/* ping */", "/* a */;-- b"] {
        assert_eq!(parse(text), Ok(vec![]), "{text}");
    }
}

#[test]
fn queries_of_every_kind_go_to_the_engine() {
    for text in [
        "SELECT 1",
        "(SELECT 1)",
        "VALUES (1, 2)",
        "TABLE orders",
        "WITH a AS (SELECT 1) SELECT * FROM a",
        "EXPLAIN SELECT 1",
        "EXPLAIN (ANALYZE, FORMAT JSON) SELECT 1",
        "EXPLAIN ANALYZE SELECT 1",
        "SELECT 1 UNION ALL SELECT 2",
        "SELECT sum(a) OVER (ORDER BY b), a.limit FROM a",
        "SELECT $1::int",
        "SELECT a IS DISTINCT FROM b, extract(day FROM c) FROM a WHERE NOT b ORDER BY 1, 2",
        "SELECT ';' AS \"a;b\"",
        "-- Metabase:: userID: 1\nSELECT 1;",
    ] {
        assert!(matches!(one(text), Statement::Query(_)), "{text}");
    }
}

#[test]
fn several_statements_keep_their_order() {
    let statements =
        parse("SET DateStyle = 'ISO';SET extra_float_digits = 2;show transaction_isolation");
    assert_eq!(
        statements,
        Ok(vec![
            set("datestyle", "ISO"),
            set("extra_float_digits", "2"),
            Statement::Show { name: Some("transaction_isolation".to_owned()) },
        ])
    );
}

#[test]
fn what_clients_set_at_connection() {
    assert_eq!(one("SET SESSION TIMEZONE TO 'Europe/Berlin';"), set("timezone", "Europe/Berlin"));
    assert_eq!(one("SET TIME ZONE 'UTC'"), set("timezone", "UTC"));
    assert_eq!(one("SET TIMEZONE = UTC"), set("timezone", "utc"));
    assert_eq!(one("SET TIME ZONE INTERVAL '+00:00' HOUR TO MINUTE"), set("timezone", "<+00>-00"));
    assert_eq!(one("SET TIME ZONE -5"), set("timezone", "-5"));
    assert_eq!(one("SET client_encoding='utf-8'"), set("client_encoding", "utf-8"));
    assert_eq!(one("SET NAMES 'UTF8'"), set("client_encoding", "UTF8"));
    assert_eq!(
        one("SET search_path TO \"$user\", Public"),
        set("search_path", "\"$user\", public")
    );
    assert_eq!(one("SET SCHEMA 'metrics'"), set("search_path", "metrics"));
    assert_eq!(one("SET canon.pins = 'revenue=1'"), set("canon.pins", "revenue=1"));
    assert_eq!(one("set datestyle to ISO, DMY"), set("datestyle", "iso, dmy"));
    assert_eq!(one("SET jit = off"), set("jit", "off"));
    assert_eq!(
        one("SET LOCAL a.b = 1"),
        Statement::Set {
            name: "a.b".to_owned(),
            value: SetValue::Text("1".to_owned()),
            local: true
        }
    );
    let modes = TransactionModes { isolation: Some("read uncommitted"), ..Default::default() };
    assert_eq!(
        one("SET SESSION CHARACTERISTICS AS TRANSACTION ISOLATION LEVEL READ UNCOMMITTED"),
        Statement::SetTransaction { modes, session: true }
    );
}

#[test]
fn transactions() {
    let read_only = TransactionModes { read_only: Some(true), ..Default::default() };
    assert_eq!(one("BEGIN READ ONLY"), Statement::Begin { modes: read_only, start: false });
    let repeatable = TransactionModes { isolation: Some("repeatable read"), ..read_only };
    for text in [
        "BEGIN TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY",
        "begin isolation level repeatable read, read only",
    ] {
        assert_eq!(one(text), Statement::Begin { modes: repeatable, start: false });
    }
    assert_eq!(
        one("START TRANSACTION"),
        Statement::Begin { modes: TransactionModes::default(), start: true }
    );
    for text in ["COMMIT", "END", "COMMIT WORK", "END TRANSACTION", "COMMIT AND NO CHAIN"] {
        assert_eq!(one(text), Statement::Commit { chain: false });
    }
    assert_eq!(one("ROLLBACK AND CHAIN"), Statement::Rollback { chain: true });
    assert_eq!(one("ABORT"), Statement::Rollback { chain: false });
    assert_eq!(one("ROLLBACK TO SAVEPOINT a"), Statement::RollbackTo("a".to_owned()));
    assert_eq!(one("ROLLBACK TO \"A\""), Statement::RollbackTo("A".to_owned()));
    assert_eq!(one("RELEASE _EXEC_SVP_0x1"), Statement::Release("_exec_svp_0x1".to_owned()));
    assert_eq!(
        one("SHOW TRANSACTION ISOLATION LEVEL"),
        Statement::Show { name: Some("transaction_isolation".to_owned()) }
    );
    assert_eq!(one("DISCARD ALL"), Statement::Discard(Discard::All));
    assert_eq!(one("UNLISTEN *"), Statement::Unlisten);
    assert_eq!(one("CLOSE ALL"), Statement::CloseCursor(None));
}

#[test]
fn prepared_statements_in_sql() {
    let Statement::Prepare { name, types, .. } = one(
        "PREPARE p (int, numeric(10,2), text[], timestamp with time zone, unknown) AS SELECT $1, $2",
    ) else {
        panic!("not a PREPARE");
    };
    assert_eq!(name, "p");
    let text_array = PgType::Array(Box::new(PgType::Text));
    assert_eq!(
        types,
        vec![
            Some(PgType::Int4),
            Some(PgType::Numeric(None)),
            Some(text_array),
            Some(PgType::Timestamptz),
            None,
        ]
    );
    let Statement::Execute { name, arguments } = one("EXECUTE p (1, 'it''s', NULL, -2.5, 1 + 1)")
    else {
        panic!("not an EXECUTE");
    };
    assert_eq!(name, "p");
    let literals = arguments.iter().map(|argument| match &argument.value {
        ArgumentValue::Literal(text) => Some(text.as_deref()),
        ArgumentValue::Query(_) => None,
    });
    let literals: Vec<_> = literals.collect();
    let expected = [Some(Some("1")), Some(Some("it's")), Some(None), Some(Some("-2.5")), None];
    assert_eq!(literals, expected);
    assert_eq!(arguments.last().map(|last| last.position), Some(36));
    assert_eq!(one("DEALLOCATE PREPARE ALL"), Statement::Deallocate(None));
}

#[test]
fn faults_are_told_in_postgres_words() {
    let near = |word: &str| format!("syntax error at or near \"{word}\"");
    for (text, message, position) in [
        ("SELEC 1", near("SELEC"), Some(1)),
        ("SELECT 1 FROM a WHERE WHERE b", near("WHERE"), Some(23)),
        ("SELECT a, FROM b", near("FROM"), Some(11)),
        ("SELECT a FROM b WHERE a = ORDER BY a", near("ORDER"), Some(27)),
        ("SELECT 1;\nSELECT ü ü ü", near("ü"), Some(22)),
        ("SELECT (1", "syntax error at end of input".to_owned(), Some(10)),
        ("SELECT", "syntax error at end of input".to_owned(), Some(7)),
        ("SET a", "syntax error at end of input".to_owned(), Some(6)),
        ("SET TimeZone TO", "syntax error at end of input".to_owned(), Some(16)),
        ("BEGIN nonsense", near("nonsense"), Some(7)),
        ("SELECT 'abc", "unterminated quoted string at or near \"'abc\"".to_owned(), Some(8)),
        ("SELECT /* abc", "unterminated /* comment at or near \"/* abc\"".to_owned(), Some(8)),
        ("SELECT \"abc", "unterminated quoted identifier at or near \"\"abc\"".to_owned(), Some(8)),
        ("SHOW", "syntax error at end of input".to_owned(), Some(5)),
        ("SELECT a FROM (SELECT now() AS b FROM c WHERE d LIKE ? AND e) f", near("?"), Some(54)),
        ("SELECT a FROM (SELECT b FROM (SELECT f(g) FROM c WHERE d = ) e) h", near(")"), Some(60)),
        ("SELECT a FROM (SELECT b IN (SELECT c)) d WHERE e f g", near("f"), Some(50)),
    ] {
        assert_eq!(fault(text), (message, "42601", position), "{text}");
    }
}

#[test]
fn writes_are_refused_when_their_turn_comes() {
    for (text, command) in [
        ("INSERT INTO a VALUES (1)", "INSERT"),
        ("CREATE LOCAL TEMPORARY TABLE a (b int) ON COMMIT PRESERVE ROWS", "CREATE TABLE"),
        ("DROP TABLE a", "DROP TABLE"),
        ("COPY a FROM STDIN", "COPY FROM"),
        ("SELECT * INTO TEMPORARY TABLE \"#a\" FROM (SELECT 1 AS COL) AS b LIMIT 1", "SELECT INTO"),
        ("SELECT 1 FROM a FOR UPDATE", "SELECT FOR UPDATE"),
        ("WITH a AS (DELETE FROM b RETURNING *) SELECT * FROM a", "DELETE"),
        ("EXPLAIN ANALYZE SELECT 1 FROM a FOR UPDATE", "SELECT FOR UPDATE"),
    ] {
        let message = format!("cannot execute {command} in a read-only transaction");
        assert_eq!(fault(text), (message, "25006", None), "{text}");
    }
    for text in ["LISTEN a", "VACUUM", "CALL a()", "DO $$ $$"] {
        assert_eq!(fault(text).1, "0A000", "{text}");
    }
}

#[test]
fn deep_and_wide_texts_are_refused_before_they_become_trees() {
    let repeat = |part: &str, times: usize| part.repeat(times);
    for text in [
        format!("SELECT 1{}", repeat("+1", 2_000)),
        format!("SELECT 1 WHERE a = 1{}", repeat(" OR a = 1", 20_000)),
        format!("SELECT {}1{}", repeat("(", 5_000), repeat(")", 5_000)),
        format!("SELECT {}1", repeat("NOT ", 5_000)),
        format!("SELECT {}1", repeat("- ", 5_000)),
        format!("SELECT 1{}", repeat("::int", 5_000)),
        format!("SELECT 1{}", repeat(" UNION ALL SELECT 1", 2_000)),
        format!("SELECT a{}", repeat("[1]", 5_000)),
        format!("SELECT {}1{}", repeat("CASE WHEN true THEN ", 2_000), repeat(" END", 2_000)),
        format!("SELECT * FROM a{}", repeat(" JOIN a USING (b)", 2_000)),
        format!("{}SELECT 1{}", repeat("SELECT * FROM (", 500), repeat(") a", 500)),
        format!("SELECT {}1{}", repeat("f(1+", 300), repeat(")", 300)),
        repeat("+", 16 << 20),
        repeat("x", 17 << 20),
    ] {
        assert_eq!(fault(&text).1, "54001", "{}", &text[..60]);
    }
    let list: Vec<String> = (0..10_000).map(|number| number.to_string()).collect();
    assert!(parse(&format!("SELECT 1 WHERE a IN ({})", list.join(","))).is_ok());
    assert!(
        parse(&format!("SELECT 1 WHERE a = 1{}", repeat(" OR public.b.a = 1 + 2", 450))).is_ok()
    );
    assert!(parse(&format!("SELECT '{}'", repeat("x", 1 << 20))).is_ok());
}
