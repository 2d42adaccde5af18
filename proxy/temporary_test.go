package proxy_test

import (
	"strings"
	"testing"
)

// Temporary tables hold what their maker sees. They are known as the server
// knows them: gone with the transaction that made them, and with a rollback.
func TestTemporaryTables(t *testing.T) {
	f, database := shop(t)
	for _, tt := range []struct {
		name string
		sql  []string
		want string // what the last one gives
	}{
		{"of a query", []string{"CREATE TEMP TABLE hot AS SELECT id, email, region FROM customers WHERE id < 3", "SELECT * FROM hot ORDER BY id"},
			"1|***|EU\n2|***|EU\n"},
		{"by SELECT INTO", []string{"SELECT id, email INTO TEMP hot FROM customers WHERE id = 1", "SELECT hot.email, h.id FROM hot JOIN pg_temp.hot h USING (id)"}, "***|1\n"},
		{"with columns", []string{"CREATE TEMPORARY TABLE s (id serial PRIMARY KEY, email text NOT NULL DEFAULT lower('X'), n numeric(10,2)) ON COMMIT PRESERVE ROWS",
			"INSERT INTO s (n) VALUES (1), (2)", "INSERT INTO s (email) SELECT email FROM customers WHERE id = 1", "UPDATE s SET n = n + 1 WHERE s.n > 1", "DELETE FROM s x WHERE x.n = 1 RETURNING *", "SELECT * FROM s ORDER BY id"},
			"2|x|3.00\n3|***|\n"},
		{"joined with what is governed", []string{"CREATE TEMP TABLE hot AS SELECT id FROM customers WHERE id = 2", "UPDATE customers c SET region = 'EU' FROM hot WHERE hot.id = c.id RETURNING c.id, c.email"}, "2|***\n"},
		{"locked", []string{"BEGIN", "CREATE TEMP TABLE hot AS SELECT id FROM customers", "LOCK TABLE hot", "SELECT count(*) > 0 FROM hot"}, "t\n"},
		{"truncated", []string{"CREATE TEMP TABLE hot AS SELECT id FROM customers", "TRUNCATE hot", "SELECT count(*) FROM hot"}, "0\n"},
		{"dropped", []string{"CREATE TEMP TABLE hot AS SELECT id FROM customers", "DROP TABLE hot", "SELECT count(*) FROM hot"}, "42P01"},
		{"not there", []string{"DROP TABLE IF EXISTS hot", "SELECT 1"}, "1\n"},
		{"made anew with other columns", []string{"CREATE TEMP TABLE hot AS SELECT id FROM customers", "DROP TABLE hot", "CREATE TEMP TABLE hot AS SELECT email FROM customers WHERE id = 1", "SELECT * FROM hot"}, "***\n"},
		{"rolled back", []string{"BEGIN", "CREATE TEMP TABLE hot AS SELECT id FROM customers", "ROLLBACK", "SELECT count(*) FROM hot"}, "42P01"},
		{"rolled back to a savepoint", []string{"BEGIN", "SAVEPOINT a", "CREATE TEMP TABLE hot AS SELECT id FROM customers", "ROLLBACK TO a", "SELECT count(*) FROM hot"}, "42P01"},
		{"gone with its transaction", []string{"BEGIN", "CREATE TEMP TABLE hot ON COMMIT DROP AS SELECT id FROM customers", "COMMIT", "SELECT count(*) FROM hot"}, "42P01"},
		{"discarded", []string{"CREATE TEMP TABLE hot AS SELECT id FROM customers", "DISCARD TEMP", "SELECT count(*) FROM hot"}, "42P01"},
		{"of a table's name hides it", []string{"CREATE TEMP TABLE orders (id int)", "SELECT count(*) FROM orders"}, "0\n"},
		{"and does not hide it by its own", []string{"CREATE TEMP TABLE orders (id int)", "SELECT count(*) > 0 FROM public.orders"}, "t\n"},
		{"is not there for another purpose", []string{"SET pgveil.purpose = 'support'", "CREATE TEMP TABLE hot AS SELECT email FROM customers", toSales, "SELECT * FROM hot"}, "42P01"},
		{"nor to be dropped", []string{"SET pgveil.purpose = 'support'", "CREATE TEMP TABLE hot AS SELECT email FROM customers", toSales, "DROP TABLE hot"}, "42P01"},
		{"is there for its own purpose again", []string{"CREATE TEMP TABLE hot AS SELECT email FROM customers WHERE id = 1", "SET pgveil.purpose = 'support'", toSales, "SELECT * FROM hot"}, "***\n"},
		{"no setting by a default", []string{"CREATE TEMP TABLE hot (id int, b text DEFAULT set_config('pgveil.purpose', 'support', false))"}, "0A000"},
		{"a table is not dropped", []string{"DROP TABLE orders"}, "42501"},
		{"nor one by its schema", []string{"CREATE TEMP TABLE orders (id int)", "DROP TABLE public.orders"}, "42501"},
		{"nor truncated", []string{"TRUNCATE orders"}, "0A000"},
		{"nothing that lasts is made", []string{"CREATE TABLE hot AS SELECT id FROM customers"}, "0A000"},
		{"by no way", []string{"SELECT id INTO hot FROM customers"}, "0A000"},
		{"nor unlogged", []string{"CREATE UNLOGGED TABLE hot (id int)"}, "0A000"},
		{"no view", []string{"CREATE TEMP VIEW hot AS SELECT id FROM customers"}, "0A000"},
		{"no foreign key", []string{"CREATE TEMP TABLE hot (id int REFERENCES customers)"}, "0A000"},
		{"no closed function", []string{"CREATE TEMP TABLE hot (id text DEFAULT pg_read_file('x'))"}, "42501"},
		{"no name of ours", []string{"SELECT * FROM pg_temp.pgveil_tmp_hot"}, "42P01"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			conn := f.connect(t, database, "crm_app")
			got := text(t.Context(), conn, toSales)
			for _, sql := range tt.sql {
				got = text(t.Context(), conn, sql)
			}
			if !strings.HasPrefix(got, tt.want) || strings.HasSuffix(tt.want, "\n") && got != tt.want {
				t.Errorf("%q = %q, want %q", tt.sql, got, tt.want)
			}
		})
	}
}
