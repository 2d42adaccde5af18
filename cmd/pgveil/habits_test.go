package main

import (
	"strings"
	"testing"

	"github.com/pgveil/pgveil/internal/pgserver"
	"github.com/pgveil/pgveil/internal/pgtest"
	"github.com/pgveil/pgveil/state"
)

// TestHabitsOfProcesses has processes end: what was seen of people is written
// before they do, and together with what others wrote. A killed one loses what
// it saw lately, and nothing else.
func TestHabitsOfProcesses(t *testing.T) {
	server := pgtest.Server(t)
	database := pgtest.Database(t, "shop")
	admin := pgtest.Connect(t, server.DSN(database, pgserver.Superuser))
	s := newSite(t, server, database, "127.0.0.1:0", "")
	works := func(sql string, end func(r *running)) string {
		r := s.serve(t, "")
		conn, err := s.connect(t.Context(), r.address(t, listens), "alice")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := conn.Exec(t.Context(), sql); err != nil {
			t.Fatal(err)
		}
		if err := conn.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
		end(r)
		return r.output.String()
	}
	stop := func(r *running) { r.stop(t) }
	kill := func(r *running) {
		if err := r.cmd.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		<-r.exited
	}
	if log := works("SELECT id FROM customers", stop); strings.Count(log, "what people do is not compared") != 1 {
		t.Errorf("without the tables there is not one error in\n%s", log)
	}
	if _, err := admin.Exec(t.Context(), state.Schema()); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		sql  string
		end  func(*running)
		want int
	}{
		{"SELECT id FROM customers WHERE id = 1", stop, 1},
		{"SELECT id FROM customers WHERE id = 2", stop, 2},
		{"SELECT id FROM customers WHERE id < 3", stop, 2},
		{"SELECT id FROM customers WHERE id = 5", kill, 2},
	} {
		log := works(tt.sql, tt.end)
		var subjects int
		if err := admin.QueryRow(t.Context(), "SELECT subjects FROM pgveil.habits WHERE username = 'alice' ORDER BY day DESC").Scan(&subjects); err != nil || subjects != tt.want {
			t.Errorf("%s: %d subjects are written, want %d; %v\n%s", tt.sql, subjects, tt.want, err, log)
		}
	}
}
