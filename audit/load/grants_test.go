package load_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/pgveil/pgveil/audit"
	"github.com/pgveil/pgveil/state"
)

// The auditors' role reads, and does nothing else; nobody else reads.
func TestGrants(t *testing.T) {
	s := newScene(t)
	s.exec(t, "CREATE ROLE nosy"+fmt.Sprint(os.Getpid())+" LOGIN")
	t.Cleanup(func() {
		if _, err := s.conn.Exec(context.Background(), "DROP ROLE nosy"+fmt.Sprint(os.Getpid())); err != nil {
			t.Error(err)
		}
	})
	s.exec(t, "INSERT INTO pgveil.subjects VALUES ('customer', '42', 'aaaaaaaaaaaaaaaaaaaaaa')")
	a := s.statement(t, "alice")
	s.outcome(t, a, audit.Record{Rows: 1, Subjects: []string{"customer:aaaaaaaaaaaaaaaaaaaaaa"}})
	s.load(t, s.loader(t))
	const denied = "42501"
	for _, tt := range []struct{ role, sql, want string }{
		{"auditor", "SELECT count(*) FROM pgveil.access_log", ""},
		{"auditor", "SELECT count(*) FROM pgveil.access_subjects", ""},
		{"auditor", "SELECT * FROM pgveil.unusual_hours, pgveil.elevation_history, pgveil.access_loaded, pgveil.user_days(), pgveil.refusals_by_rule()", ""},
		{"auditor", "SELECT * FROM pgveil.first_accesses, pgveil.access_by_purpose(NULL), pgveil.refusals, pgveil.access_columns", ""},
		{"auditor", "SELECT 1 / count(*) FROM pgveil.who_saw('customer', 42) WHERE certain", ""},
		{"auditor", "SELECT 1 / count(*) FROM pgveil.who_saw('customer', '42', now() - interval '400 days', 'infinity') WHERE certain", ""},
		{"auditor", "SELECT * FROM pgveil.who_saw('customer', 'c56a4180-65aa-42ec-a945-5fd21dec0538'::uuid)", ""},
		{"auditor", "SELECT * FROM pgveil.subjects", denied},
		{"auditor", "SELECT * FROM pgveil.factors", denied},
		{"auditor", "SELECT * FROM pgveil.elevations", denied},
		{"auditor", "SELECT * FROM pgveil.access_hours", denied},
		{"auditor", "SELECT * FROM pgveil.access_log_20261122", denied},
		{"auditor", "DELETE FROM pgveil.access_log", denied},
		{"auditor", "UPDATE pgveil.access_log SET username = 'x'", denied},
		{"auditor", "INSERT INTO pgveil.access_subjects (log) VALUES ('x')", denied},
		{"auditor", "TRUNCATE pgveil.access_log", denied},
		{"auditor", "DELETE FROM pgveil.refusals", denied},
		{"auditor", "SELECT pgveil.access_log_keep('2030-01-01')", denied},
		{"auditor", "SELECT pgveil.access_log_days('2030-01-01', '2031-01-01')", denied},
		{"auditor", "CREATE TABLE pgveil.mine (x int)", denied},
		{"nosy", "SELECT count(*) FROM pgveil.access_log", denied},
		{"nosy", "SELECT * FROM pgveil.who_saw('customer', 42)", denied},
	} {
		t.Run(tt.role+": "+tt.sql, func(t *testing.T) {
			if tt.role == "nosy" {
				tt.role += fmt.Sprint(os.Getpid())
			}
			tx, err := s.conn.Begin(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			defer tx.Rollback(t.Context())
			if _, err := tx.Exec(t.Context(), "SET LOCAL ROLE "+tt.role); err != nil {
				t.Fatal(err)
			}
			_, err = tx.Exec(t.Context(), tt.sql)
			var e *pgconn.PgError
			if got := ""; errors.As(err, &e) {
				if got = e.Code; got != tt.want {
					t.Errorf("SQLSTATE %s (%v), want %q", got, err, tt.want)
				}
			} else if tt.want != "" || err != nil {
				t.Errorf("no error (%v), want %s", err, tt.want)
			}
		})
	}
	s.exec(t, state.Schema()+state.AccessLogSchema(nil)) // nobody is an auditor any more
	if got := s.ask(t, "SELECT has_table_privilege('auditor', 'pgveil.access_log', 'SELECT'), has_function_privilege('auditor', 'pgveil.who_saw(text, text, timestamptz, timestamptz)', 'EXECUTE')"); got[0] != "(f,f)" {
		t.Errorf("what the auditor keeps: %v", got)
	}
}
