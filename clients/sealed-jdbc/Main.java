import java.io.*;
import java.math.BigDecimal;
import java.sql.*;
import java.time.*;
import java.util.*;
import org.postgresql.PGConnection;

/** The JDBC driver on sealed columns: in extended mode with values as text and in binary form, and in simple mode. */
public class Main {
    static final UUID REF = UUID.fromString("a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11");

    static Connection connect(String... options) throws SQLException {
        Properties p = new Properties();
        p.setProperty("user", System.getenv("PGUSER"));
        p.setProperty("password", System.getenv("PGPASSWORD"));
        p.setProperty("sslmode", System.getenv("PGSSLMODE"));
        p.setProperty("sslrootcert", System.getenv("PGSSLROOTCERT"));
        for (int i = 0; i < options.length; i += 2) p.setProperty(options[i], options[i + 1]);
        return DriverManager.getConnection("jdbc:postgresql://" + System.getenv("PGHOST") + ":" + System.getenv("PGPORT") + "/" + System.getenv("PGDATABASE"), p);
    }

    static void print(ResultSet rs) throws SQLException {
        try (rs) {
            ResultSetMetaData meta = rs.getMetaData();
            while (rs.next()) {
                StringJoiner row = new StringJoiner("|");
                for (int i = 1; i <= meta.getColumnCount(); i++) row.add(meta.getColumnTypeName(i) + " " + rs.getObject(i));
                System.out.println(row);
            }
        }
    }

    static void work(int id, String... options) throws SQLException, IOException {
        System.out.println("# " + String.join(" ", options));
        String ssn = id + "-45-6789";
        try (Connection c = connect(options)) {
            try (PreparedStatement s = c.prepareStatement("INSERT INTO people VALUES (?, ?, ?, ?, ?, ?, ?)")) {
                s.setInt(1, id);
                s.setString(2, ssn);
                s.setObject(3, LocalDate.of(1980, 2, 29));
                s.setBigDecimal(4, new BigDecimal("1234.50"));
                s.setObject(5, REF);
                s.setObject(6, OffsetDateTime.of(2001, 2, 3, 4, 5, 6, 700_000_000, ZoneOffset.UTC));
                s.setString(7, "it's a note");
                System.out.println(s.executeUpdate());
            }
            try (PreparedStatement s = c.prepareStatement("SELECT id, ssn, born, income, ref, seen, note FROM people WHERE ssn = ?")) {
                for (int n = 0; n < 4; n++) { // the later ones are prepared, with values in binary form
                    s.setString(1, ssn);
                    print(s.executeQuery());
                }
            }
            try (PreparedStatement s = c.prepareStatement("UPDATE people SET note = ?, born = ? WHERE ref = ? AND ssn = ? RETURNING id, note, born")) {
                s.setNull(1, Types.VARCHAR);
                s.setDate(2, java.sql.Date.valueOf("1999-12-31"));
                s.setObject(3, REF);
                s.setString(4, ssn);
                print(s.executeQuery());
            }
            try (PreparedStatement s = c.prepareStatement("INSERT INTO people (id, ssn, income) VALUES (?, ?, ?)")) {
                for (int n = 0; n < 3; n++) {
                    s.setInt(1, 100 * id + n);
                    s.setString(2, ssn + " " + n);
                    s.setBigDecimal(3, new BigDecimal("0.10"));
                    s.addBatch();
                }
                System.out.println(Arrays.toString(s.executeBatch()));
            }
            c.setAutoCommit(false);
            try (Statement s = c.createStatement()) {
                s.setFetchSize(2);
                print(s.executeQuery("SELECT id, ssn, income FROM people ORDER BY id"));
            }
            c.commit();
            StringWriter out = new StringWriter();
            c.unwrap(PGConnection.class).getCopyAPI().copyOut("COPY (SELECT id, ssn, born FROM people ORDER BY id) TO STDOUT", out);
            System.out.print(out);
            c.commit();
        }
    }

    public static void main(String[] args) throws Exception {
        work(1);
        work(2, "prepareThreshold", "1");
        work(3, "prepareThreshold", "-1");
        work(4, "preferQueryMode", "simple");
        work(5, "reWriteBatchedInserts", "true", "binaryTransfer", "false");
    }
}
