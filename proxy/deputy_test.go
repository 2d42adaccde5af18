package proxy_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"net"
	"slices"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgproto3"

	"github.com/pgveil/pgveil/audit"
	"github.com/pgveil/pgveil/internal/pgserver"
	"github.com/pgveil/pgveil/internal/pgtest"
	"github.com/pgveil/pgveil/proxy"
	"github.com/pgveil/pgveil/proxy/auth"
)

// service makes a login that may take on the role of alice, and of none else.
func service(t *testing.T, admin *pgx.Conn) {
	t.Helper()
	const drop = `DROP ROLE IF EXISTS svc, "none "`
	if got := text(t.Context(), admin, drop+`; CREATE ROLE svc LOGIN NOINHERIT PASSWORD 'svc-password'; GRANT alice, dora TO svc`); got != "" {
		t.Fatal(got)
	}
	t.Cleanup(func() {
		if got := text(context.Background(), admin, drop); got != "" {
			t.Error(got)
		}
	})
}

// byService has svc log in for everybody.
func byService(t *testing.T, p provider, c proxy.Credential) func(*proxy.Options) {
	return func(o *proxy.Options) {
		o.Method, o.Logins = proxy.OIDC, p.verifier(t, nil)
		o.Credentials = func(string, string) (*proxy.Credential, error) { return &c, nil }
	}
}

// signedIn logs in by a token.
func (f *front) signedIn(t *testing.T, p provider, database, user string, settings ...string) (*pgx.Conn, error) {
	t.Helper()
	c := f.config(t, database, user, settings...)
	c.Password = p.sign(t, user, nil)
	conn, err := pgx.ConnectConfig(t.Context(), c)
	if err == nil {
		t.Cleanup(func() { _ = conn.Close(context.Background()) }) // the test may have ended the session
	}
	return conn, err
}

// TestDeputies logs in to the server as somebody else than the client.
func TestDeputies(t *testing.T) {
	database := pgtest.Database(t, "shop")
	service(t, pgtest.Connect(t, pgtest.Server(t).DSN(database, pgserver.Superuser)))
	p := newProvider(t)
	svc := auth.PasswordSecret("svc-password")
	withUsers := strings.Replace(shopPolicy, "users:\n", "users:\n  none:   {roles: [agent]}\n", 1)
	for _, tt := range []struct {
		name, user string
		credential proxy.Credential
		settings   []string
		want       string // session_user|current_user, or the error
	}{
		{"the client's own name", "alice", proxy.Credential{Secret: auth.PasswordSecret("alice-password")}, nil, "alice|alice\n"},
		{"a shared login", "alice", proxy.Credential{Login: "svc", Secret: svc}, nil, "svc|svc\n"},
		{"a shared login and the client's role", "alice", proxy.Credential{Login: "svc", Secret: svc, SetRole: true}, nil, "svc|alice\n"},
		{"a role that it has not", "crm_app", proxy.Credential{Login: "svc", Secret: svc, SetRole: true}, nil, `42501 permission denied to set role "crm_app"`},
		{"a role that means no role", "none", proxy.Credential{Login: "svc", Secret: svc, SetRole: true}, nil, `28000 user "none" cannot be a role of the session`},
		{"without restrictions", "dora", proxy.Credential{Login: "svc", Secret: svc, SetRole: true}, nil, "28000 who has no restrictions needs a login of its own on the server"},
		{"a role of the client's choice", "alice", proxy.Credential{Login: "svc", Secret: svc, SetRole: true}, []string{"role", "none"}, "42501 the role of the session is not open to be set"},
		{"in other letters", "alice", proxy.Credential{Login: "svc", Secret: svc, SetRole: true}, []string{"ROLE", "none"}, "42501 the role of the session is not open to be set"},
		{"as an option", "alice", proxy.Credential{Login: "svc", Secret: svc, SetRole: true}, []string{"options", "-c role=none"}, "42501 the role of the session is not open to be set"},
		{"a wrong password", "alice", proxy.Credential{Login: "svc", Secret: auth.PasswordSecret("wrong"), SetRole: true}, nil, `28000 pgveil could not log in to the server for user "alice"`},
		{"a wrong password of the client's own name", "alice", proxy.Credential{Secret: auth.PasswordSecret("wrong")}, nil, `28000 pgveil could not log in to the server for user "alice"`},
		{"no password", "alice", proxy.Credential{Login: "svc", SetRole: true}, nil, "08006 the login could not be completed"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f := start(t, database, withUsers, overTCP(t), byService(t, p, tt.credential))
			conn, err := f.signedIn(t, p, database, tt.user, tt.settings...)
			got := ""
			if err != nil {
				got = said(err)
			} else {
				got = text(t.Context(), conn, "SELECT session_user, current_user")
			}
			if got != tt.want {
				t.Errorf("login: %q, want %q; log:\n%s", got, tt.want, f.Log)
			}
			if strings.Contains(f.Log.String(), "password") && strings.Contains(f.Log.String(), "svc-password") {
				t.Error("the password is in the log")
			}
		})
	}
}

// TestDeputysRole tries every way that leads from the assumed role to the
// login's own.
func TestDeputysRole(t *testing.T) {
	database := pgtest.Database(t, "shop")
	service(t, pgtest.Connect(t, pgtest.Server(t).DSN(database, pgserver.Superuser)))
	p := newProvider(t)
	f := start(t, database, shopPolicy, overTCP(t), byService(t, p, proxy.Credential{Login: "svc", Secret: auth.PasswordSecret("svc-password"), SetRole: true}))
	for _, sql := range []string{
		"RESET ROLE", "RESET ALL", "DISCARD ALL", "SET SESSION AUTHORIZATION DEFAULT", "RESET SESSION AUTHORIZATION", "SET ROLE NONE", "SET ROLE 'none'",
		"SET LOCAL ROLE none", "SET SESSION ROLE none", "set role to none", "SET ROLE dora", "SET ROLE svc", "SET SESSION AUTHORIZATION svc",
		"SELECT set_config('role', 'none', false)", "SELECT set_config('ROLE', 'no' || 'ne', true)", "SELECT pg_catalog.set_config('role', 'dora', false)",
		"SELECT id FROM customers WHERE set_config('role', 'none', false) = 'none'", "PREPARE x AS SELECT set_config('role', 'none', false); EXECUTE x",
		"BEGIN; SET LOCAL ROLE none; SELECT 1",
		"EXPLAIN ANALYZE SELECT set_config('role', 'none', false)", "COPY (SELECT set_config('role', 'none', false)) TO STDOUT",
		"CREATE TEMP TABLE x AS SELECT set_config('role', 'none', false)", "VALUES (set_config('role', 'none', false))",
		"BEGIN; DECLARE c CURSOR WITH HOLD FOR SELECT set_config('role', 'none', false); COMMIT",
		"UPDATE customers SET region = region WHERE set_config('role', 'none', false) = ''", "DO $$BEGIN EXECUTE 'SET ROLE none'; END$$", "/* x */ SET ROLE none;",
	} {
		for name, mode := range map[string]pgx.QueryExecMode{"simple": pgx.QueryExecModeSimpleProtocol, "extended": pgx.QueryExecModeExec, "prepared": pgx.QueryExecModeDescribeExec} {
			conn, err := f.signedIn(t, p, database, "alice")
			if err != nil {
				t.Fatal(err)
			}
			_, ran := conn.Exec(t.Context(), sql, mode)
			var user string
			if ran != nil {
				if _, err := conn.Exec(t.Context(), "ROLLBACK"); err != nil {
					t.Fatal(err)
				}
			}
			if err := conn.QueryRow(t.Context(), "SELECT current_user").Scan(&user); err != nil || user != "alice" {
				t.Errorf("%s, %s (%v): then the user is %q, %v", sql, name, ran, user, err)
			}
		}
	}
	// With a parameter the value comes with Bind.
	conn, err := f.signedIn(t, p, database, "alice")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := conn.Exec(t.Context(), "SELECT set_config('role', $1, false)", pgx.QueryExecModeExec, "none"); err == nil {
		t.Error("the role is set by a parameter")
	}
}

// TestDeputyAndReload takes a caller's restrictions away amid a session whose
// role is only assumed: the session ends.
func TestDeputyAndReload(t *testing.T) {
	database := pgtest.Database(t, "shop")
	service(t, pgtest.Connect(t, pgtest.Server(t).DSN(database, pgserver.Superuser)))
	p := newProvider(t)
	f := start(t, database, shopPolicy, overTCP(t), byService(t, p, proxy.Credential{Login: "svc", Secret: auth.PasswordSecret("svc-password"), SetRole: true}))
	conn, err := f.signedIn(t, p, database, "alice")
	if err != nil {
		t.Fatal(err)
	}
	f.reload(t, strings.Replace(shopPolicy, "alice:   {roles: [agent]}", "alice:   {roles: [dba]}", 1))
	if got := text(t.Context(), conn, "SET ROLE none"); !strings.HasPrefix(got, "28000 ") {
		t.Errorf("after the reload: %q, want 28000", got)
	}
}

// TestDeputyNeedsAProof has methods that leave the proof to the server.
func TestDeputyNeedsAProof(t *testing.T) {
	database := pgtest.Database(t, "shop")
	service(t, pgtest.Connect(t, pgtest.Server(t).DSN(database, pgserver.Superuser)))
	p := newProvider(t)
	for _, m := range []proxy.Method{proxy.Passthrough, proxy.Trust} {
		f := start(t, database, shopPolicy, overTCP(t), byService(t, p, proxy.Credential{Login: "svc", Secret: auth.PasswordSecret("svc-password")}), func(o *proxy.Options) { o.Method = m })
		c := f.config(t, database, "alice")
		c.Password = "anything"
		if _, err := pgx.ConnectConfig(t.Context(), c); said(err) != "28000 the login cannot be completed" {
			t.Errorf("method %d: %v", m, err)
		}
	}
	f := start(t, database, shopPolicy, overTCP(t), byService(t, p, proxy.Credential{}), func(o *proxy.Options) {
		o.Credentials = func(string, string) (*proxy.Credential, error) { return nil, errors.New("vault is away") }
	})
	if _, err := f.signedIn(t, p, database, "alice"); said(err) != "57P03 the way to log in to the server is not known at the moment" {
		t.Errorf("without credentials: %v", err)
	}
}

// TestDeputyIsRecorded looks at the access log: it shows who asked.
func TestDeputyIsRecorded(t *testing.T) {
	database := pgtest.Database(t, "shop")
	service(t, pgtest.Connect(t, pgtest.Server(t).DSN(database, pgserver.Superuser)))
	p := newProvider(t)
	f := start(t, database, shopPolicy, overTCP(t), byService(t, p, proxy.Credential{Login: "svc", Secret: auth.PasswordSecret("svc-password"), SetRole: true}))
	conn, err := f.signedIn(t, p, database, "alice")
	if err != nil {
		t.Fatal(err)
	}
	if got := text(t.Context(), conn, "SELECT email FROM customers WHERE id = 1"); strings.Contains(got, "42") {
		t.Fatal(got)
	}
	seen := 0
	for r, err := range audit.Read(f.AuditDir, 0) {
		if err != nil {
			t.Fatal(err)
		}
		if r.Session == "" {
			continue
		}
		if r.Message == "login" && !slices.Equal(r.Reasons, []string{"token of https://id.example for alice"}) {
			t.Errorf("the login's reasons are %q", r.Reasons)
		}
		if seen++; r.Login != "alice" {
			t.Errorf("record %+v has another login than alice", r)
		}
	}
	if seen < 2 {
		t.Errorf("%d records of a session", seen)
	}
}

// TestDeputyOfOtherProofs logs in by a certificate, and by a password whose
// verifier only pgveil has: neither tells the server anything.
func TestDeputyOfOtherProofs(t *testing.T) {
	database := pgtest.Database(t, "shop")
	service(t, pgtest.Connect(t, pgtest.Server(t).DSN(database, pgserver.Superuser)))
	line, err := auth.UserLine("alice", "pgveil-only", 4096)
	if err != nil {
		t.Fatal(err)
	}
	users, err := auth.ParseUsers(line)
	if err != nil {
		t.Fatal(err)
	}
	ours := newAuthority(t)
	credential := func(o *proxy.Options) {
		o.Lookup, o.MockKey = users.Lookup, bytes.Repeat([]byte{1}, 32)
		o.TLS = &tls.Config{Certificates: []tls.Certificate{ours.own()}, ClientCAs: ours.roots(), ClientAuth: tls.VerifyClientCertIfGiven}
		o.Credentials = func(string, string) (*proxy.Credential, error) {
			return &proxy.Credential{Login: "svc", Secret: auth.PasswordSecret("svc-password"), SetRole: true}, nil
		}
	}
	cert := ours.issue(t, named("alice"))
	for _, tt := range []struct {
		name     string
		method   proxy.Method
		cert     *tls.Certificate
		password string
		want     string
	}{
		{"a certificate", proxy.Cert, &cert, "", "svc|alice\n"},
		{"no certificate", proxy.Cert, nil, "", "28000"},
		{"pgveil's password", proxy.SCRAM, nil, "pgveil-only", "svc|alice\n"},
		{"the server's password", proxy.SCRAM, nil, "alice-password", "28P01"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f := start(t, database, shopPolicy, overTCP(t), credential, func(o *proxy.Options) { o.Method = tt.method })
			c := f.config(t, database, "alice")
			c.Password, c.TLSConfig = tt.password, ours.showing(tt.cert)
			c.TLSConfig.ServerName = "127.0.0.1"
			conn, err := pgx.ConnectConfig(t.Context(), c)
			if err != nil {
				if code(err) != tt.want {
					t.Errorf("login: %v, want %s", err, tt.want)
				}
				return
			}
			if got := text(t.Context(), conn, "SELECT session_user, current_user"); got != tt.want {
				t.Errorf("login: %q, want %q", got, tt.want)
			}
			if err := conn.Close(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestRoleThatDoesNotLast has a server that leaves the assumed role where the
// login is reset, as PostgreSQL did before November 2024: nobody gets in.
func TestRoleThatDoesNotLast(t *testing.T) {
	database := pgtest.Database(t, "shop")
	p := newProvider(t)
	server := newFakeServer(t, nil, func(conn net.Conn) {
		for {
			typ, body, err := next(conn)
			if err != nil || typ != 'Q' {
				return
			}
			user := "alice"
			if bytes.Contains(bytes.ToUpper(body), []byte("SESSION AUTHORIZATION DEFAULT")) {
				user = "svc"
			}
			if _, err := conn.Write(encode(&pgproto3.DataRow{Values: [][]byte{[]byte(user)}},
				&pgproto3.CommandComplete{CommandTag: []byte("SELECT 1")}, &pgproto3.ReadyForQuery{TxStatus: 'I'})); err != nil {
				return
			}
		}
	})
	f := start(t, database, shopPolicy, overTCP(t), byService(t, p, proxy.Credential{Login: "svc", SetRole: true}), server.instead)
	if _, err := f.signedIn(t, p, database, "alice"); err == nil || said(err) != `XX000 the server did not put the session into the role of user "alice"` {
		t.Errorf("login: %v; log:\n%s", err, f.Log)
	}
}
