import com.zaxxer.hikari.HikariConfig;
import com.zaxxer.hikari.HikariDataSource;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.sql.*;
import java.time.Instant;
import java.util.*;
import java.util.concurrent.*;
import java.util.stream.Collectors;
import javax.sql.DataSource;

/**
 * An application with many end users behind one login and one small pool. What
 * it sees it holds against what each of them should.
 */
public class Main {
    static final List<User> USERS = List.of(new User("anna", "EU", List.of(1, 2, 3, 4, 10)), new User("bert", "US", List.of(5, 6, 7)),
        new User("chloë", "APAC", List.of(8, 9)), new User("d'Or", "EU", List.of(1, 2, 3, 4, 10)));
    static final int REQUESTS = 240;
    static final int WORKERS = 8; // four for each connection
    static final String CUSTOMERS = "SELECT id FROM customers WHERE id > ? ORDER BY id";

    interface Attempt { void run() throws Exception; }

    static String state(Attempt attempt) {
        try {
            attempt.run();
            return "ok";
        } catch (SQLException e) {
            return e.getSQLState();
        } catch (Exception e) {
            return e.toString();
        }
    }

    static List<Integer> sees(PreparedStatement s) throws SQLException {
        s.setInt(1, 0);
        List<Integer> ids = new ArrayList<>();
        try (ResultSet rs = s.executeQuery()) {
            while (rs.next()) ids.add(rs.getInt(1));
        }
        return ids;
    }

    static List<Integer> sees(Connection c) throws SQLException {
        try (PreparedStatement s = c.prepareStatement(CUSTOMERS)) {
            return sees(s);
        }
    }

    static void execute(Connection c, String sql) throws SQLException {
        try (Statement s = c.createStatement()) {
            s.execute(sql);
        }
    }

    /** Says what became of one request. Some fail amid their transaction, and some come without a token. */
    static String request(DataSource pool, User user, int i) {
        if (i % 5 == 4) {
            return "without a token: " + state(() -> {
                try (Connection c = pool.getConnection()) {
                    sees(c);
                }
            });
        }
        boolean[] own = {false};
        String outcome = state(() -> Recipe.as(pool, user, c -> {
            own[0] = sees(c).equals(user.sees());
            if (i % 5 == 2) execute(c, "SELECT 1/0");
        }));
        return "own rows " + own[0] + ": " + outcome;
    }

    /** Answers requests of all users at once. */
    static void serve(DataSource pool) throws Exception {
        ExecutorService workers = Executors.newFixedThreadPool(WORKERS);
        List<Callable<String>> all = new ArrayList<>();
        for (int i = 0; i < REQUESTS; i++) {
            int n = i;
            all.add(() -> request(pool, USERS.get(n / 5 % USERS.size()), n));
        }
        Map<String, Integer> outcomes = new TreeMap<>();
        for (Future<String> f : workers.invokeAll(all)) outcomes.merge(f.get(), 1, Integer::sum);
        workers.shutdown();
        System.out.println("# requests");
        outcomes.forEach((outcome, n) -> System.out.println(n + " " + outcome));
    }

    /** The statement that makes a token the session's; more replaces or adds claims. */
    static String set(String id, String name, byte[] key, Map<String, ?> more) throws Exception {
        long now = Instant.now().getEpochSecond();
        Map<String, Object> claims = new HashMap<>(Map.of("iss", "crm", "aud", "pgveil", "sub", name, "roles", List.of("agent"),
            "attributes", Map.of("region", "EU"), "jti", id, "iat", now, "exp", now + 60));
        claims.putAll(more);
        return "SET pgveil.token = '" + Jwt.sign(claims, key) + "'";
    }

    /** Has one prepared statement run for one user after the other. */
    static void prepared(Connection c) throws Exception {
        System.out.println("# prepared once");
        try (PreparedStatement s = c.prepareStatement(CUSTOMERS)) {
            s.unwrap(org.postgresql.PGStatement.class).setPrepareThreshold(1); // a named one from the first time on
            for (User u : USERS) {
                execute(c, set("prepared for " + u.name(), u.name(), Recipe.KEY, Map.of("attributes", u.attributes())));
                System.out.println(u.name() + " " + sees(s).stream().map(String::valueOf).collect(Collectors.joining(" ", "[", "]")) + " ok");
            }
            System.out.println("nobody " + state(() -> execute(c, "RESET pgveil.token")) + " " + state(() -> sees(s)));
        }
    }

    /** Tries tokens that must not count, on both connections of the pool. */
    static void refused(Connection c, Connection other) throws Exception {
        System.out.println("# refused");
        long past = Instant.now().getEpochSecond() - 3600;
        Map<String, Map<String, Object>> tokens = new LinkedHashMap<>();
        tokens.put("good", Map.of());
        tokens.put("forged", Map.of());
        tokens.put("expired", Map.of("iat", past, "exp", past + 60));
        tokens.put("for others", Map.of("aud", "another"));
        tokens.put("more than the login may", Map.of("roles", List.of("dba")));
        for (Map.Entry<String, Map<String, Object>> t : tokens.entrySet()) {
            byte[] key = t.getKey().equals("forged") ? "another secret of 32 bytes or more".getBytes() : Recipe.KEY;
            String sql = set(t.getKey(), "anna", key, t.getValue());
            System.out.println(t.getKey() + ": " + state(() -> execute(c, sql)) + ", on another connection: " + state(() -> execute(other, sql)));
        }
        System.out.println("unsigned: " + state(() -> execute(other, "SET pgveil.end_user = 'anna'")));
    }

    public static void main(String[] args) throws Exception {
        System.setOut(new PrintStream(System.out, true, StandardCharsets.UTF_8));
        HikariConfig config = new HikariConfig();
        config.setJdbcUrl("jdbc:postgresql://" + System.getenv("PGHOST") + ":" + System.getenv("PGPORT") + "/" + System.getenv("PGDATABASE"));
        config.setUsername(System.getenv("PGUSER"));
        config.setPassword(System.getenv("PGPASSWORD"));
        config.addDataSourceProperty("sslmode", System.getenv("PGSSLMODE"));
        config.addDataSourceProperty("sslrootcert", System.getenv("PGSSLROOTCERT"));
        config.setMaximumPoolSize(2);
        config.setAutoCommit(false); // a connection that comes back amid a transaction is rolled back
        try (HikariDataSource pool = new HikariDataSource(config)) {
            serve(pool);
            try (Connection c = pool.getConnection(); Connection other = pool.getConnection()) {
                c.setAutoCommit(true);
                other.setAutoCommit(true);
                prepared(c);
                refused(c, other);
            }
        }
    }
}
