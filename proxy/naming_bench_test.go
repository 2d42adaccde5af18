package proxy_test

import (
	"context"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/pgveil/pgveil/internal/pgserver"
	"github.com/pgveil/pgveil/internal/pgtest"
	"github.com/pgveil/pgveil/proxy"
)

// BenchmarkNaming compares statements whose subjects the log names with the same
// where the policy knows of no subjects. Every name is remembered.
func BenchmarkNaming(b *testing.B) {
	database := pgtest.Database(b, "shop")
	admin := pgtest.Connect(b, pgtest.Server(b).DSN(database, pgserver.Superuser))
	if _, err := admin.Exec(context.Background(), `INSERT INTO customers SELECT r.* FROM customers c, generate_series(1, 1000) g,
		jsonb_populate_record(NULL::customers, to_jsonb(c) || jsonb_build_object('id', 10000 + g, 'email', 'x' || g || '@example.com')) r WHERE c.id = 1`); err != nil {
		b.Fatal(err)
	}
	unnamed := strings.Replace(namingPolicy, "subjects: {customer: {table: public.customers, key: id}}\n", "", 1)
	for _, policy := range []struct {
		name, text string
		edit       func(*proxy.Options)
	}{{"unnamed", unnamed, func(*proxy.Options) {}}, {"named", namingPolicy, names(b, database)}} {
		f := start(b, database, policy.text, policy.edit)
		for _, stmt := range []struct{ name, login, sql string }{
			{"row with its key", "alice", "SELECT id, first_name FROM customers WHERE id = 10007"},
			{"row without", "alice", "SELECT first_name FROM customers WHERE id = 10007"},
			{"rows with their keys", "alice", "SELECT id, first_name FROM customers WHERE id > 10000"},
			{"rows without", "alice", "SELECT first_name FROM customers WHERE id > 10000"},
			{"update", "alice", "UPDATE customers SET region = region WHERE id = 10007"},
			{"row, unrestricted", "dora", "SELECT id, first_name FROM customers WHERE id = 10007"},
		} {
			b.Run(stmt.name+"/"+policy.name, func(b *testing.B) {
				c := f.config(b, database, stmt.login)
				c.DefaultQueryExecMode = pgx.QueryExecModeCacheStatement
				conn, err := pgx.ConnectConfig(context.Background(), c)
				if err != nil {
					b.Fatal(err)
				}
				defer conn.Close(context.Background())
				for b.Loop() {
					if _, err := conn.Exec(context.Background(), stmt.sql); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}
