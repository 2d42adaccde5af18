package proxy_test

import (
	"bytes"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/pgveil/pgveil/internal/pgserver"
	"github.com/pgveil/pgveil/internal/pgtest"
	"github.com/pgveil/pgveil/proxy"
	"github.com/pgveil/pgveil/proxy/auth"
)

// TestUsersFile logs in by verifiers of pgveil's own. They let nobody in to a
// server that has another one, and who is told so is who knew the password.
func TestUsersFile(t *testing.T) {
	database := pgtest.Database(t, "shop")
	admin := pgtest.Connect(t, pgtest.Server(t).DSN(database, pgserver.Superuser))
	var servers string
	if err := admin.QueryRow(t.Context(), "SELECT rolpassword FROM pg_authid WHERE rolname = 'alice'").Scan(&servers); err != nil {
		t.Fatal(err)
	}
	own, err := auth.UserLine("alice", "alice-password", 4096)
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name, line, user string
		want             string
	}{
		{"the server's own", "alice " + servers, "alice", ""},
		{"another of the same password", own, "alice", `28000 the server has another password verifier for user "alice" than pgveil`},
		{"of nobody", own, "dora", `28P01 password authentication failed for user "dora"`},
		{"of a role that there is not", own, "nobody", `28P01 password authentication failed for user "nobody"`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			users, err := auth.ParseUsers(tt.line)
			if err != nil {
				t.Fatal(err)
			}
			f := start(t, database, shopPolicy, overTCP(t), func(o *proxy.Options) {
				o.Method, o.Lookup, o.MockKey = proxy.SCRAM, users.Lookup, bytes.Repeat([]byte{1}, 32)
			})
			if got := (visit{user: tt.user}).arrive(t, f, database, nil); got != tt.want {
				t.Errorf("login: %q, want %q", got, tt.want)
			}
		})
	}
	users, err := auth.ParseUsers(own)
	if err != nil {
		t.Fatal(err)
	}
	f := start(t, database, shopPolicy, overTCP(t), func(o *proxy.Options) {
		o.Method, o.Lookup, o.MockKey = proxy.SCRAM, users.Lookup, bytes.Repeat([]byte{1}, 32)
	})
	c := f.config(t, database, "alice")
	c.Password = "wrong"
	if _, err := pgx.ConnectConfig(t.Context(), c); said(err) != `28P01 password authentication failed for user "alice"` {
		t.Errorf("a wrong password: %v", err)
	}
}
