// pgjdbc: metadata, parameters, prepared statements until they turn binary, fetch sizes, errors.
//     java -cp /usr/share/java/postgresql.jar UsePgjdbc.java HOST PORT

import java.math.BigDecimal;
import java.sql.Connection;
import java.sql.DatabaseMetaData;
import java.sql.Date;
import java.sql.DriverManager;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.ResultSetMetaData;
import java.sql.SQLException;
import java.sql.Savepoint;
import java.sql.Statement;
import java.sql.Timestamp;
import java.sql.Types;
import java.time.Instant;
import java.time.LocalDateTime;
import java.time.OffsetDateTime;
import java.time.ZoneOffset;
import java.util.ArrayList;
import java.util.List;
import java.util.Objects;
import java.util.Properties;

public class UsePgjdbc {
    static final String QUESTION =
        "SELECT channel, SUM(revenue) FROM orders GROUP BY channel ORDER BY channel";
    static final String BY_CHANNEL = "[app=78.00, shop=90.00, web=337.00]";

    static void check(String what, Object expected, Object got) {
        if (!Objects.equals(expected, got)) {
            System.out.println("FAILED " + what + ": expected " + expected + ", got " + got);
            System.exit(1);
        }
        System.out.println("ok " + what);
    }

    public static void main(String[] args) throws SQLException {
        String url = "jdbc:postgresql://" + args[0] + ":" + args[1] + "/canon";
        Properties properties = new Properties();
        properties.setProperty("user", "analyst");
        properties.setProperty("ApplicationName", "UsePgjdbc");
        properties.setProperty("connectTimeout", "10");
        try (Connection connection = DriverManager.getConnection(url, properties)) {
            check("is valid", true, connection.isValid(10));
            metadata(connection);
            statements(connection);
            fetchSizes(connection);
            copies(connection);
            catalogue(connection);
            errors(connection);
        }
    }

    static String byChannel(Connection connection) throws SQLException {
        List<String> rows = new ArrayList<>();
        try (Statement statement = connection.createStatement();
                ResultSet result = statement.executeQuery(QUESTION)) {
            while (result.next()) {
                rows.add(result.getString(1) + "=" + result.getBigDecimal(2));
            }
        }
        return rows.toString();
    }

    static void metadata(Connection connection) throws SQLException {
        DatabaseMetaData metadata = connection.getMetaData();
        check("product", "PostgreSQL", metadata.getDatabaseProductName());
        List<String> tables = new ArrayList<>();
        try (ResultSet result = metadata.getTables(null, "public", "%", new String[] {"TABLE", "VIEW"})) {
            while (result.next()) {
                tables.add(result.getString("TABLE_NAME"));
            }
        }
        check("getTables has orders and customers", true,
            tables.contains("orders") && tables.contains("customers"));
        List<String> columns = new ArrayList<>();
        try (ResultSet result = metadata.getColumns(null, "public", "orders", "%")) {
            while (result.next()) {
                String name = result.getString("COLUMN_NAME");
                columns.add(name);
                switch (name) {
                    case "order_id" -> check("order_id", Types.BIGINT, result.getInt("DATA_TYPE"));
                    case "channel" -> check("channel", "text", result.getString("TYPE_NAME"));
                    case "gross_amount" -> {
                        check("gross_amount", Types.NUMERIC, result.getInt("DATA_TYPE"));
                        check("its precision", 18, result.getInt("COLUMN_SIZE"));
                        check("its scale", 2, result.getInt("DECIMAL_DIGITS"));
                    }
                    case "metric_time" -> check("metric_time", "timestamp", result.getString("TYPE_NAME"));
                    case "completed_at" -> check("completed_at", "timestamptz", result.getString("TYPE_NAME"));
                    default -> { }
                }
            }
        }
        for (String name : List.of("order_id", "channel", "gross_amount", "metric_time", "revenue")) {
            check("getColumns has " + name, true, columns.contains(name));
        }
        try (ResultSet result = metadata.getPrimaryKeys(null, "public", "orders")) {
            check("a primary key", true, result.next());
            check("its column", "order_id", result.getString("COLUMN_NAME"));
        }
        List<String> schemas = new ArrayList<>();
        try (ResultSet result = metadata.getSchemas()) {
            while (result.next()) {
                schemas.add(result.getString(1));
            }
        }
        check("getSchemas has public", true, schemas.contains("public"));
    }

    static void statements(Connection connection) throws SQLException {
        check("groups", BY_CHANNEL, byChannel(connection));
        String total = "SELECT SUM(revenue) AS r FROM orders WHERE channel = ?";
        try (PreparedStatement statement = connection.prepareStatement(total)) {
            check("a column's type before the rows", "numeric", statement.getMetaData().getColumnTypeName(1));
            check("its parameter's type", "text", statement.getParameterMetaData().getParameterTypeName(1));
            // From the fifth turn on the driver prepares on the server and asks for binary.
            for (int turn = 0; turn < 9; turn++) {
                statement.setString(1, turn % 2 == 0 ? "shop" : "o'web\\");
                try (ResultSet result = statement.executeQuery()) {
                    result.next();
                    BigDecimal expected = turn % 2 == 0 ? new BigDecimal("90.00") : null;
                    check("prepared, turn " + turn, expected, result.getBigDecimal("r"));
                }
            }
        }
        String typed = "SELECT order_id, items, rating, gross_amount, completed_at, metric_time, discount_amount"
            + " FROM orders WHERE order_id = ? AND channel = ? AND gross_amount > ? AND completed_at <= ? AND rating >= ?";
        try (PreparedStatement statement = connection.prepareStatement(typed)) {
            for (int turn = 0; turn < 7; turn++) {
                statement.setLong(1, 9);
                statement.setString(2, "app");
                statement.setBigDecimal(3, new BigDecimal("60.99"));
                statement.setTimestamp(4, Timestamp.from(Instant.parse("2026-03-29T01:00:00Z")));
                statement.setDouble(5, 4.0);
                try (ResultSet result = statement.executeQuery()) {
                    check("a row, turn " + turn, true, result.next());
                    check("int8", 9L, result.getLong(1));
                    check("int4", 4, result.getInt(2));
                    check("float8", 4.0, result.getDouble(3));
                    check("numeric", new BigDecimal("61.00"), result.getBigDecimal(4));
                    check("timestamptz", OffsetDateTime.of(2026, 3, 29, 1, 0, 0, 0, ZoneOffset.UTC),
                        result.getObject(5, OffsetDateTime.class).withOffsetSameInstant(ZoneOffset.UTC));
                    check("timestamp", LocalDateTime.of(2026, 3, 29, 1, 30), result.getObject(6, LocalDateTime.class));
                    check("numeric 0", new BigDecimal("0.00"), result.getBigDecimal(7));
                }
            }
        }
        try (PreparedStatement statement =
                connection.prepareStatement("SELECT COUNT(*) FROM customers WHERE signed_up_on >= ?")) {
            for (int turn = 0; turn < 7; turn++) {
                statement.setDate(1, Date.valueOf("2025-12-31"));
                try (ResultSet result = statement.executeQuery()) {
                    result.next();
                    check("a date, turn " + turn, 2L, result.getLong(1));
                }
            }
        }
        try (PreparedStatement statement =
                connection.prepareStatement("SELECT COUNT(*) FROM orders WHERE channel = ANY (?)")) {
            statement.setArray(1, connection.createArrayOf("text", new String[] {"shop", "app"}));
            try (ResultSet result = statement.executeQuery()) {
                result.next();
                check("an array", 5L, result.getLong(1));
            }
        }
        try (Statement statement = connection.createStatement();
                ResultSet result = statement.executeQuery("SELECT channel AS c, SUM(revenue) AS r FROM orders GROUP BY 1")) {
            ResultSetMetaData metadata = result.getMetaData();
            check("names", "c r", metadata.getColumnName(1) + " " + metadata.getColumnLabel(2));
            check("table of a column", "orders/channel", metadata.getTableName(1) + "/" + metadata.unwrap(org.postgresql.PGResultSetMetaData.class).getBaseColumnName(1));
            check("table of an expression", "", metadata.getTableName(2));
        }
        try (Statement statement = connection.createStatement();
                ResultSet result = statement.executeQuery("SELECT o.order_id, o.rating, o.items + 1 FROM orders AS o")) {
            ResultSetMetaData metadata = result.getMetaData();
            check("a key is never NULL", ResultSetMetaData.columnNoNulls, metadata.isNullable(1));
            check("a rating may be NULL", ResultSetMetaData.columnNullable, metadata.isNullable(2));
            check("of a sum nobody knows", ResultSetMetaData.columnNullableUnknown, metadata.isNullable(3));
            check("no counter", false, metadata.isAutoIncrement(1));
        }
        try (Statement statement = connection.createStatement()) {
            statement.setMaxRows(2);
            try (ResultSet result = statement.executeQuery("SELECT order_id FROM orders ORDER BY order_id")) {
                int rows = 0;
                while (result.next()) {
                    rows++;
                }
                check("at most two rows", 2, rows);
            }
        }
    }

    static void fetchSizes(Connection connection) throws SQLException {
        connection.setAutoCommit(false);
        for (int size : new int[] {1, 4, 11, 100}) {
            try (PreparedStatement statement =
                    connection.prepareStatement("SELECT order_id, channel FROM orders ORDER BY order_id")) {
                statement.setFetchSize(size);
                try (ResultSet result = statement.executeQuery()) {
                    List<Long> orders = new ArrayList<>();
                    while (result.next()) {
                        orders.add(result.getLong(1));
                        if (result.getLong(1) == 2) {
                            check("another statement between", BY_CHANNEL, byChannel(connection));
                        }
                    }
                    check("fetch size " + size, "[1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11]", orders.toString());
                }
            }
        }
        try (Statement statement = connection.createStatement(
                ResultSet.TYPE_SCROLL_INSENSITIVE, ResultSet.CONCUR_READ_ONLY);
                ResultSet result = statement.executeQuery("SELECT order_id FROM orders ORDER BY order_id")) {
            check("absolute", true, result.absolute(5));
            check("the fifth", 5L, result.getLong(1));
            result.previous();
            check("the fourth", 4L, result.getLong(1));
        }
        Savepoint savepoint = connection.setSavepoint("here");
        try (Statement statement = connection.createStatement()) {
            statement.executeQuery("SELECT * FROM no_such_table");
        } catch (SQLException error) {
            check("an error after a savepoint", "42P01", error.getSQLState());
        }
        connection.rollback(savepoint);
        check("after the rollback to it", BY_CHANNEL, byChannel(connection));
        connection.commit();
        connection.setTransactionIsolation(Connection.TRANSACTION_READ_COMMITTED);
        connection.setAutoCommit(true);
        connection.setReadOnly(true);
        check("read-only", BY_CHANNEL, byChannel(connection));
        connection.setReadOnly(false);
    }

    static void copies(Connection connection) throws SQLException {
        java.io.StringWriter out = new java.io.StringWriter();
        try {
            long rows = connection.unwrap(org.postgresql.PGConnection.class).getCopyAPI()
                .copyOut("COPY (" + QUESTION + ") TO STDOUT WITH CSV", out);
            check("rows of a COPY", 3L, rows);
        } catch (java.io.IOException error) {
            check("a COPY", null, error);
        }
        check("a COPY", "app,78.00\nshop,90.00\nweb,337.00\n", out.toString());
    }

    /** What tools ask of DatabaseMetaData: every answer can be read to its end. */
    static void catalogue(Connection connection) throws SQLException {
        DatabaseMetaData metadata = connection.getMetaData();
        ResultSet[] answers = {
            metadata.getCatalogs(), metadata.getSchemas(null, "%"), metadata.getTableTypes(), metadata.getTypeInfo(),
            metadata.getTables(null, null, "%", null), metadata.getColumns(null, null, "%", "%"),
            metadata.getPrimaryKeys(null, "public", "orders"), metadata.getImportedKeys(null, "public", "orders"),
            metadata.getExportedKeys(null, "public", "customers"), metadata.getCrossReference(
                null, "public", "customers", null, "public", "orders"),
            metadata.getIndexInfo(null, "public", "orders", false, true),
            metadata.getBestRowIdentifier(null, "public", "orders", DatabaseMetaData.bestRowSession, true),
            metadata.getVersionColumns(null, "public", "orders"), metadata.getProcedures(null, null, "%"),
            metadata.getFunctions(null, null, "now"), metadata.getTablePrivileges(null, "public", "orders"),
            metadata.getColumnPrivileges(null, "public", "orders", "%"), metadata.getUDTs(null, null, "%", null),
            metadata.getClientInfoProperties()};
        for (int index = 0; index < answers.length; index++) {
            try (ResultSet result = answers[index]) {
                int columns = result.getMetaData().getColumnCount();
                while (result.next()) {
                    for (int column = 1; column <= columns; column++) {
                        result.getObject(column);
                    }
                }
            }
            System.out.println("ok metadata " + index);
        }
        check("the longest name", 63, metadata.getMaxColumnNameLength());
        check("keywords", true, metadata.getSQLKeywords() != null);
        check("the version", true, metadata.getDatabaseMajorVersion() >= 15);
    }

    static void errors(Connection connection) throws SQLException {
        for (String[] bad : new String[][] {
                {"SELECT no_such_column FROM orders", "42703"}, {"SELECT * FROM no_such_table", "42P01"},
                {"SELEC 1", "42601"}, {"SELECT 1 / 0", "22012"}}) {
            try (Statement statement = connection.createStatement()) {
                statement.executeQuery(bad[0]);
                check(bad[0], "an error", "an answer");
            } catch (SQLException error) {
                check(bad[0], bad[1], error.getSQLState());
            }
            check("and went on", BY_CHANNEL, byChannel(connection));
        }
        connection.setAutoCommit(false);
        try (Statement statement = connection.createStatement()) {
            statement.executeQuery("SELECT no_such_column FROM orders");
        } catch (SQLException error) {
            check("an error in a transaction", "42703", error.getSQLState());
        }
        try {
            byChannel(connection);
            check("a failed transaction", "refuses", "answers");
        } catch (SQLException error) {
            check("a failed transaction", "25P02", error.getSQLState());
        }
        connection.rollback();
        check("after rollback", BY_CHANNEL, byChannel(connection));
        connection.commit();
        connection.setAutoCommit(true);
    }
}
