import java.nio.file.Files;
import java.nio.file.Path;
import java.sql.Connection;
import java.sql.Statement;
import java.time.Instant;
import java.util.Map;
import java.util.UUID;
import javax.sql.DataSource;

final class Recipe {
    private Recipe() {}

    interface Work { void with(Connection c) throws Exception; }

    static final byte[] KEY = key();

    private static byte[] key() {
        try {
            return Files.readString(Path.of(System.getenv("CRM_KEY_FILE"))).strip().getBytes();
        } catch (java.io.IOException e) {
            throw new java.io.UncheckedIOException(e);
        }
    }

    /** Does work in a transaction that is the user's. */
    static void as(DataSource pool, User u, Work work) throws Exception {
        long now = Instant.now().getEpochSecond();
        String token = Jwt.sign(Map.of("iss", "crm", "aud", "pgveil", "sub", u.name(), "roles", u.roles(), "attributes", u.attributes(),
            "jti", UUID.randomUUID().toString(), "iat", now, "exp", now + 60, "transaction", true), KEY);
        try (Connection c = pool.getConnection(); Statement s = c.createStatement()) {
            s.execute("SET LOCAL pgveil.token = '" + token + "'");
            work.with(c);
            c.commit();
        }
    }
}
