import java.io.*;
import java.nio.charset.StandardCharsets;
import java.sql.*;
import java.util.*;
import org.postgresql.PGConnection;
import org.postgresql.copy.CopyManager;

/** The JDBC driver, with what application servers and mappers ask of it. */
public class Main {
    interface Work { Object run() throws SQLException, IOException; }

    static Connection connect(String... options) throws SQLException {
        Properties p = new Properties();
        p.setProperty("user", System.getenv("PGUSER"));
        p.setProperty("password", System.getenv("PGPASSWORD"));
        p.setProperty("sslmode", System.getenv("PGSSLMODE"));
        p.setProperty("sslrootcert", System.getenv("PGSSLROOTCERT"));
        for (int i = 0; i < options.length; i += 2) p.setProperty(options[i], options[i + 1]);
        return DriverManager.getConnection("jdbc:postgresql://" + System.getenv("PGHOST") + ":" + System.getenv("PGPORT") + "/" + System.getenv("PGDATABASE"), p);
    }

    static void title(String t) { System.out.println("# " + t); }

    /** Prints what work gives, or the server's error. */
    static void attempt(Work work) {
        try {
            Object o = work.run();
            if (o != null) System.out.println(o);
        } catch (SQLException e) {
            SQLException cause = e.getNextException() != null && e instanceof BatchUpdateException ? e.getNextException() : e;
            System.out.println("error " + cause.getSQLState() + " " + cause.getMessage().lines().findFirst().get() + " " + e.getClass().getSimpleName());
        } catch (IOException e) {
            System.out.println("error " + e.getMessage());
        }
    }

    static Object print(ResultSet rs) throws SQLException {
        try (rs) {
            int n = rs.getMetaData().getColumnCount();
            while (rs.next()) {
                StringJoiner row = new StringJoiner("|");
                for (int i = 1; i <= n; i++) row.add(rs.getString(i));
                System.out.println(row);
            }
        }
        return null;
    }

    static void show(Connection c, String sql, Object... args) {
        attempt(() -> {
            try (PreparedStatement s = c.prepareStatement(sql)) {
                for (int i = 0; i < args.length; i++) s.setObject(i + 1, args[i]);
                return s.execute() ? print(s.getResultSet()) : s.getUpdateCount() + " rows";
            }
        });
    }

    /** One statement again and again: from the fifth time on it is a named one, with binary results. */
    static void again(Connection c, String sql, Object... args) throws SQLException {
        title("again and again " + sql.substring(0, 20));
        try (PreparedStatement s = c.prepareStatement(sql)) {
            for (int i = 0; i < 8; i++) {
                for (int a = 0; a < args.length; a++) s.setObject(a + 1, args[a]);
                attempt(() -> print(s.executeQuery()));
            }
            System.out.println("named: " + ((org.postgresql.PGStatement) s).isUseServerPrepare());
        }
    }

    static void metadata(Connection c, String schema, String table) throws SQLException {
        title("metadata");
        DatabaseMetaData m = c.getMetaData();
        System.out.println(m.getDatabaseProductName() + " " + m.supportsGetGeneratedKeys() + " " + m.isReadOnly() + " " + c.getSchema() + " " + c.getCatalog());
        print(m.getSchemas());
        print(m.getTables(null, schema, "%", new String[] {"TABLE", "VIEW"}));
        print(m.getColumns(null, schema, table, "%"));
        print(m.getPrimaryKeys(null, schema, table));
        print(m.getImportedKeys(null, schema, table));
        print(m.getExportedKeys(null, schema, table));
        print(m.getIndexInfo(null, schema, table, false, true));
        print(m.getBestRowIdentifier(null, schema, table, DatabaseMetaData.bestRowSession, false));
        print(m.getVersionColumns(null, schema, table));
        print(m.getTables(null, schema, "%", new String[] {"SEQUENCE"}));
    }

    static void types(Connection c) throws SQLException {
        title("types of results");
        attempt(() -> {
            try (PreparedStatement s = c.prepareStatement("SELECT * FROM customers WHERE id = ? AND email = ?")) {
                ParameterMetaData p = s.getParameterMetaData();
                System.out.println(p.getParameterTypeName(1) + " " + p.getParameterTypeName(2));
                ResultSetMetaData m = s.getMetaData();
                for (int i = 1; i <= m.getColumnCount(); i++)
                    System.out.println(m.getColumnName(i) + " " + m.getColumnTypeName(i) + "(" + m.getPrecision(i) + ") " + m.isNullable(i) + " " + m.isAutoIncrement(i) + " of " + m.getTableName(i));
            }
            return null;
        });
    }

    static void batches(Connection c, String good, String bad) throws SQLException {
        title("batches");
        c.setAutoCommit(false);
        for (String third : List.of(good, bad)) {
            try (Statement s = c.createStatement()) {
                for (String sql : List.of(good, good, third, good)) s.addBatch(sql);
                attempt(() -> Arrays.toString(s.executeBatch()));
            }
            c.rollback();
        }
        try (PreparedStatement s = c.prepareStatement("INSERT INTO tickets (customer_id, region, subject, body, opened_at) VALUES (?, 'EU', ?, 'mail a@example.org', '2026-11-22')", Statement.RETURN_GENERATED_KEYS)) {
            for (int i = 1; i <= 300; i++) {
                s.setInt(1, 1 + i % 2);
                s.setString(2, "by JDBC " + i);
                s.addBatch();
            }
            attempt(() -> Arrays.stream(s.executeBatch()).sum());
            attempt(() -> { int n = 0; try (ResultSet keys = s.getGeneratedKeys()) { while (keys.next()) n++; } return n; });
        }
        c.commit();
        show(c, "SELECT count(*), min(body), max(id) FROM tickets WHERE subject LIKE 'by JDBC %'");
        c.commit();
        c.setAutoCommit(true);
    }

    static void cursor(Connection c, String sql) throws SQLException {
        title("fetch size");
        c.setAutoCommit(false);
        try (PreparedStatement s = c.prepareStatement(sql)) {
            s.setFetchSize(2);
            print(s.executeQuery());
        }
        try (Statement s = c.createStatement(ResultSet.TYPE_SCROLL_INSENSITIVE, ResultSet.CONCUR_READ_ONLY); ResultSet rs = s.executeQuery(sql)) {
            rs.last();
            System.out.println(rs.getRow() + " " + rs.getString(2));
            rs.absolute(2);
            System.out.println(rs.getString(2));
        }
        c.commit();
        c.setAutoCommit(true);
    }

    static void transaction(Connection c, String failing) throws SQLException {
        title("a failure in a transaction");
        c.setAutoCommit(false);
        show(c, failing);
        show(c, "SELECT 'not any more'");
        c.rollback();
        show(c, "SELECT 'again'");
        Savepoint s = c.setSavepoint();
        show(c, failing);
        c.rollback(s);
        show(c, "SELECT 'again'");
        c.commit();
        c.setAutoCommit(true);
    }

    static void updatable(Connection c, String sql, String column, String value) {
        title("an updatable result");
        attempt(() -> {
            try (Statement s = c.createStatement(ResultSet.TYPE_SCROLL_SENSITIVE, ResultSet.CONCUR_UPDATABLE); ResultSet rs = s.executeQuery(sql)) {
                rs.next();
                for (int i = 2; i <= rs.getMetaData().getColumnCount(); i++) rs.updateObject(i, rs.getObject(i));
                rs.updateString(column, value);
                rs.updateRow();
                rs.refreshRow();
                return rs.getString(2) + " " + rs.getString(column);
            }
        });
        show(c, sql);
    }

    static void copy(Connection c, String[] out, String[] into) throws SQLException {
        title("copying");
        CopyManager m = c.unwrap(PGConnection.class).getCopyAPI();
        for (String sql : out) attempt(() -> {
            ByteArrayOutputStream bytes = new ByteArrayOutputStream();
            long n = m.copyOut(sql, bytes);
            return bytes.toString(StandardCharsets.UTF_8) + n;
        });
        for (String sql : into) attempt(() -> m.copyIn(sql, new StringReader("1\tEU\tcopied\ttext\t2026-11-22\n")));
    }

    static void readOnly() throws SQLException {
        title("read only");
        for (String mode : List.of("transaction", "always")) try (Connection c = connect("readOnlyMode", mode)) {
            c.setReadOnly(true);
            c.setAutoCommit(false);
            show(c, "SELECT count(*) FROM orders");
            show(c, "UPDATE tickets SET subject = 'x' WHERE id = 1");
            c.rollback();
            c.setReadOnly(false);
            c.setTransactionIsolation(Connection.TRANSACTION_SERIALIZABLE);
            show(c, "UPDATE tickets SET subject = subject WHERE id = 1");
            c.rollback();
        }
    }

    static final String SEEN = "SELECT id, first_name, last_name, email, phone, card, birth_date, last_ip, credit_limit, notes FROM customers ORDER BY id";

    static void alice() throws SQLException {
        for (String mode : List.of("extended", "extendedForPrepared", "extendedCacheEverything", "simple")) {
            title("mode " + mode);
            try (Connection c = connect("preferQueryMode", mode)) {
                show(c, SEEN);
                show(c, "SELECT id, card FROM customers WHERE card = ?", "4111111110201111");
                show(c, "SELECT ssn FROM customers WHERE id = ?", 1);
                show(c, "UPDATE customers SET email = ?, notes = ?, country = ? WHERE id = ?", "a***@example.de", "***", "DE", 1);
                show(c, "DELETE FROM customers WHERE id = ?", 1);
                transaction(c, "SELECT ssn FROM customers");
            }
        }
        try (Connection c = connect()) {
            metadata(c, "public", "customers");
            types(c);
            again(c, "SELECT id, email, birth_date FROM customers WHERE id < ?", 3);
            again(c, "SELECT id, ssn FROM customers WHERE id = ?", 1);
            batches(c, "UPDATE customers SET country = 'DE' WHERE id = 1", "DELETE FROM customers WHERE id = 1");
            cursor(c, "SELECT id, email FROM customers ORDER BY id");
            updatable(c, "SELECT id, last_name, email, card, country FROM customers WHERE id = 1", "country", "IT");
            copy(c, new String[] {"COPY (SELECT id, email FROM customers ORDER BY id) TO STDOUT", "COPY customers (id, ssn) TO STDOUT"},
                new String[] {"COPY tickets (customer_id, region, subject, body, opened_at) FROM STDIN", "COPY orders FROM STDIN"});
            title("escapes and calls");
            show(c, "SELECT {fn ucase(email)}, {d '2026-11-22'} FROM customers WHERE id = 1");
            show(c, "SELECT {fn concat(email, ssn)} FROM customers WHERE id = 1");
        }
        try (Connection c = connect("autosave", "always")) {
            title("autosave");
            c.setAutoCommit(false);
            show(c, "SELECT ssn FROM customers");
            show(c, "SELECT 'goes on'");
            c.commit();
        }
        readOnly();
    }

    static void crm() throws SQLException {
        try (Connection c = connect()) {
            show(c, "SELECT id, email FROM crm.customers WHERE id = 1");
        }
        for (String purpose : List.of("support", "sales")) try (Connection c = connect("options", "-c pgveil.purpose=" + purpose, "currentSchema", "crm")) {
            title("for " + purpose);
            if (purpose.equals("sales")) metadata(c, "crm", "tickets");
            updatable(c, "SELECT id, first_name, last_name, email, phone, city, credit_limit, notes FROM customers WHERE id = 1", "city", "Altona");
            again(c, "SELECT id, last_name, email FROM customers WHERE id < ? ORDER BY id", 4);
        }
    }

    static void dora() throws Exception {
        for (String mode : List.of("extended", "extendedForPrepared", "extendedCacheEverything", "simple")) {
            title("mode " + mode);
            try (Connection c = connect("preferQueryMode", mode)) {
                show(c, "SELECT * FROM customers ORDER BY id");
                show(c, "SELECT ?::int, ?::text, ?::timestamptz, ?::numeric, ?::uuid, ?::boolean", 1, "tëxt", new Timestamp(0), new java.math.BigDecimal("1.50"), UUID.fromString("1c1e3dd0-9531-4f30-b24a-c021ca3b95b8"), true);
                transaction(c, "SELECT 1 / 0");
            }
        }
        try (Connection c = connect()) {
            metadata(c, "public", "customers");
            types(c);
            again(c, "SELECT * FROM customers WHERE id < ?", 3);
            batches(c, "UPDATE customers SET country = 'DE' WHERE id = 1", "DELETE FROM nosuch WHERE id = 1");
            cursor(c, "SELECT * FROM orders ORDER BY id");
            updatable(c, "SELECT * FROM customers WHERE id = 1", "country", "IT");
            copy(c, new String[] {"COPY customers TO STDOUT"}, new String[] {"COPY tickets (customer_id, region, subject, body, opened_at) FROM STDIN", "COPY orders FROM STDIN"});
            title("calls, notices, notifications, arrays, large objects, cancelled");
            show(c, "CREATE FUNCTION twice(i int, OUT o int) AS 'SELECT 2 * i' LANGUAGE sql");
            try (CallableStatement s = c.prepareCall("{? = call twice(?)}")) {
                s.registerOutParameter(1, Types.INTEGER);
                s.setInt(2, 21);
                s.execute();
                System.out.println(s.getInt(1));
            }
            show(c, "DROP FUNCTION twice(int)");
            try (Statement s = c.createStatement()) {
                s.execute("DO $$ BEGIN RAISE NOTICE 'noticed'; END $$");
                System.out.println(s.getWarnings().getMessage());
                s.execute("LISTEN birds; NOTIFY birds, 'tit'");
                for (var n : c.unwrap(PGConnection.class).getNotifications(1000)) System.out.println(n.getName() + " " + n.getParameter());
                s.setQueryTimeout(1);
                attempt(() -> s.execute("SELECT pg_sleep(30)"));
            }
            show(c, "SELECT ?::int[]", c.createArrayOf("int4", new Integer[] {1, 2}));
            c.setAutoCommit(false);
            var objects = c.unwrap(PGConnection.class).getLargeObjectAPI();
            long id = objects.createLO();
            try (var o = objects.open(id)) {
                o.write(new byte[100000]);
                System.out.println(o.size());
            }
            objects.delete(id);
            c.commit();
        }
        try (Connection c = connect("rewriteBatchedInserts", "true", "reWriteBatchedInserts", "true")) {
            batches(c, "SELECT 1", "SELECT 1 / 0");
        }
        readOnly();
    }

    public static void main(String[] args) throws Exception {
        System.setOut(new PrintStream(System.out, true, StandardCharsets.UTF_8));
        switch (args[0]) {
            case "dora" -> dora();
            case "alice" -> alice();
            case "crm_app" -> crm();
            default -> throw new IllegalArgumentException(args[0]);
        }
    }
}
