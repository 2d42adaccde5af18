package reseal

import (
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pgveil/pgveil/internal/pgserver"
	"github.com/pgveil/pgveil/internal/pgtest"
)

// BenchmarkMigrate seals a million values on a server that waits for its disk, and has
// the server itself store texts of the same length in the same rows of a copy. A run is
// one iteration: -benchtime 1x.
func BenchmarkMigrate(b *testing.B) {
	server, err := pgserver.Start(b.Context(), pgserver.Options{BinDir: os.Getenv(pgtest.EnvBin), Settings: map[string]string{"max_wal_size": "4GB", "shared_buffers": "512MB"}})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		if err := server.Stop(); err != nil {
			b.Error(err)
		}
	})
	const rows = 1_000_000
	for _, tt := range []struct{ name, schema, seal string }{
		{"deterministic", "", "deterministic"},
		{"indexed", "CREATE INDEX ON people (ssn); CREATE INDEX ON plain (ssn);", "deterministic"},
		{"randomized", "", "randomized"},
		{"blind", "CREATE INDEX ON people (ssn_blind); CREATE INDEX ON plain (ssn_blind);", "randomized, index: blind"},
	} {
		b.Run(tt.name, func(b *testing.B) {
			for range b.N {
				s := newSiteOn(b, server.DSN("postgres", pgserver.Superuser), fmt.Sprintf(`DROP TABLE IF EXISTS people, plain;
CREATE TABLE people (id int PRIMARY KEY, name text, ssn text, ssn_blind bytea); CREATE TABLE plain (LIKE people INCLUDING ALL);
INSERT INTO people SELECT i, 'somebody by the name of ' || i, '1985' || lpad(i::text, 8, '0') FROM generate_series(1, %d) AS i; INSERT INTO plain SELECT * FROM people;
%s`, rows, tt.schema), "\n  ssn: {columns: [public.people.ssn], clear: accept, seal: "+tt.seal+"}\n")
				s.exec(b, "VACUUM (ANALYZE) people")
				s.exec(b, "VACUUM (ANALYZE) plain")
				s.exec(b, "CHECKPOINT")
				begun := time.Now()
				r, err := s.job(b).Migrate(b.Context(), s.all[0])
				took := time.Since(begun)
				if err != nil || r.Done != rows {
					b.Fatalf("%+v, %v", r, err)
				}
				s.exec(b, "CHECKPOINT")
				stored := "repeat(md5(id::text), 3)"
				length := one(b, s.conn, "SELECT max(length(ssn)) FROM people")
				begun = time.Now()
				if _, err := s.conn.Exec(b.Context(), fmt.Sprintf("UPDATE plain SET ssn = left(%s, %d), ssn_blind = %s", stored, length, map[bool]string{true: "substr(sha256(ssn::bytea), 1, 8)", false: "NULL"}[s.all[0].Blind]), pgx.QueryExecModeSimpleProtocol); err != nil {
					b.Fatal(err)
				}
				plain := time.Since(begun)
				b.ReportMetric(rows/took.Seconds(), "rows/s")
				b.ReportMetric(rows/plain.Seconds(), "plain-rows/s")
				b.ReportMetric(took.Seconds()/plain.Seconds(), "times-plain")
			}
		})
	}
}
