package proxy_test

import (
	"bytes"
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgproto3"

	"github.com/pgveil/pgveil/internal/pgserver"
	"github.com/pgveil/pgveil/internal/pgtest"
	"github.com/pgveil/pgveil/proxy"
	"github.com/pgveil/pgveil/proxy/auth"
)

// pair is a primary and a standby with the same data: what is in wireSchema,
// and a password for wire.
type pair struct{ primary, standby *pgserver.Server }

func newPair(t *testing.T, database string) pair {
	t.Helper()
	dir := t.TempDir()
	readable(t, dir)
	first, second := filepath.Join(dir, "primary"), filepath.Join(dir, "standby")
	primary := startServer(t, pgserver.Options{Dir: first})
	admin := pgtest.Connect(t, primary.DSN("postgres", pgserver.Superuser))
	exec(t, admin, "CREATE DATABASE "+pgx.Identifier{database}.Sanitize())
	conn, err := pgx.Connect(t.Context(), primary.DSN(database, pgserver.Superuser))
	if err != nil {
		t.Fatal(err)
	}
	exec(t, conn, wireSchema+"; ALTER ROLE wire PASSWORD 'wire-password'")
	if err := errors.Join(conn.Close(t.Context()), admin.Close(t.Context()), primary.Stop(), os.Mkdir(second, 0o700), os.CopyFS(second, os.DirFS(first))); err != nil {
		t.Fatal(err)
	}
	return pair{
		startServer(t, pgserver.Options{Dir: first}),
		startServer(t, pgserver.Options{Dir: second, Standby: true}),
	}
}

// readable lets the servers' own user into a folder of the test's.
func readable(t *testing.T, dir string) {
	t.Helper()
	for at := dir; at != os.TempDir() && len(at) > 1; at = filepath.Dir(at) {
		if err := os.Chmod(at, 0o755); err != nil {
			t.Fatal(err)
		}
	}
}

func startServer(t *testing.T, o pgserver.Options) *pgserver.Server {
	t.Helper()
	o.BinDir = os.Getenv(pgtest.EnvBin)
	s, err := pgserver.Start(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Stop(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func at(s *pgserver.Server) proxy.Host { return proxy.Host{Network: "tcp", Address: s.Addr()} }

// nobody is a host where nothing listens.
func nobody(t *testing.T) proxy.Host {
	t.Helper()
	ln := listen(t)
	if err := ln.Close(); err != nil {
		t.Fatal(err)
	}
	return proxy.Host{Network: "tcp", Address: ln.Addr().String()}
}

// on sets the hosts and what is looked for.
func on(target proxy.Target, hosts ...proxy.Host) func(*proxy.Options) {
	return func(o *proxy.Options) { o.Upstream.Hosts, o.Upstream.Target = hosts, target }
}

// TestHosts logs in, by a proof that either server takes, where the primary,
// the standby or nobody comes first.
func TestHosts(t *testing.T) {
	w := newWireBase(t)
	p := newPair(t, w.name)
	primary, standby, dead := at(p.primary), at(p.standby), nobody(t)
	query := auth.NewAuthQuery(func(ctx context.Context) (*pgx.Conn, error) {
		return pgx.Connect(ctx, p.primary.DSN("postgres", pgserver.Superuser))
	}, "")
	defer query.Close(context.Background())
	prove := func(o *proxy.Options) {
		o.Method, o.Lookup, o.MockKey = proxy.SCRAM, query.Lookup, bytes.Repeat([]byte{1}, 32)
	}
	const isPrimary, isStandby = "false\n", "true\n"
	for _, tt := range []struct {
		name   string
		target proxy.Target
		hosts  []proxy.Host
		want   string // what pg_is_in_recovery says there, or the error
	}{
		{"the first", proxy.AnyServer, []proxy.Host{standby, primary}, isStandby},
		{"the first that is there", proxy.AnyServer, []proxy.Host{dead, primary, standby}, isPrimary},
		{"read-write", proxy.ReadWrite, []proxy.Host{standby, primary}, isPrimary},
		{"read-only", proxy.ReadOnly, []proxy.Host{primary, standby}, isStandby},
		{"primary", proxy.Primary, []proxy.Host{dead, standby, primary}, isPrimary},
		{"standby", proxy.Standby, []proxy.Host{primary, standby}, isStandby},
		{"a standby is preferred", proxy.PreferStandby, []proxy.Host{primary, dead, standby}, isStandby},
		{"there is no standby to prefer", proxy.PreferStandby, []proxy.Host{dead, primary}, isPrimary},
		{"nothing takes writes", proxy.ReadWrite, []proxy.Host{standby, dead}, "08001 no server that is read-write can be reached"},
		{"no standby", proxy.Standby, []proxy.Host{primary}, "08001 no server that is standby can be reached"},
		{"nobody there", proxy.AnyServer, []proxy.Host{dead}, "08001 the server cannot be reached"},
		{"no target that is known", 99, []proxy.Host{primary, standby}, "08001 no server that is no target can be reached"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f := start(t, w.name, wireRestricted, prove, on(tt.target, tt.hosts...))
			c := f.config(t, w.name, "wire")
			c.Password = "wire-password"
			conn, err := pgx.ConnectConfig(t.Context(), c)
			if err != nil {
				if got := said(err); got != tt.want {
					t.Errorf("refused with %q, want %q", got, tt.want)
				}
				return
			}
			defer conn.Close(t.Context())
			if got := text(t.Context(), conn, "SELECT pg_is_in_recovery()::text"); got != tt.want {
				t.Errorf("on a server in recovery: %q, want %q", got, tt.want)
			}
		})
	}
}

// TestCancelReachesTheSessionsHost cancels on the second host of a list.
func TestCancelReachesTheSessionsHost(t *testing.T) {
	w := newWireBase(t)
	p := newPair(t, w.name)
	f := start(t, w.name, wireUnrestricted, on(proxy.ReadWrite, nobody(t),
		proxy.Host{Network: "unix", Address: socket(p.standby)}, proxy.Host{Network: "unix", Address: socket(p.primary)}))
	w.admin = pgtest.Connect(t, p.primary.DSN(w.name, pgserver.Superuser)) // where asleep looks
	conn := f.connect(t, w.name, "wire")
	done := make(chan string, 1)
	go func() { done <- text(t.Context(), conn, "SELECT pg_sleep(30)") }()
	if err := w.asleep(t.Context(), conn.PgConn().PID()); err != nil {
		t.Fatal(err)
	}
	if err := conn.PgConn().CancelRequest(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := <-done; !strings.HasPrefix(got, "57014") {
		t.Errorf("cancelled: %q, want 57014", got)
	}
}

// TestASilentHostIsNotWaitedForTwice has a host that accepts connections and
// says nothing before one that works.
func TestASilentHostIsNotWaitedForTwice(t *testing.T) {
	w := newWireBase(t)
	ln := listen(t)
	defer ln.Close()
	accepted := make(chan net.Conn, 10)
	go func() {
		for {
			conn, err := ln.Accept()
			if err != nil {
				close(accepted)
				return
			}
			accepted <- conn
		}
	}()
	silent := proxy.Host{Network: "tcp", Address: ln.Addr().String()}
	f := start(t, w.name, wireUnrestricted, on(proxy.AnyServer, silent, proxy.Host{Network: "unix", Address: socket(pgtest.Server(t))}),
		func(o *proxy.Options) { o.Upstream.Timeout = 300 * time.Millisecond })
	for range 3 {
		f.connect(t, w.name, "wire")
	}
	if err := ln.Close(); err != nil {
		t.Fatal(err)
	}
	tried := 0
	for conn := range accepted {
		tried++
		conn.Close()
	}
	if tried != 1 {
		t.Errorf("three logins tried the silent host %d times, want once", tried)
	}
}

// TestRefusalsAndTheNextHost has a first host that refuses: only a server that
// cannot take anybody yet is passed over.
func TestRefusalsAndTheNextHost(t *testing.T) {
	w := newWireBase(t)
	refuse := func(code string) *fakeServer {
		return newFakeServer(t, func(conn net.Conn) {
			_, _ = conn.Write(encode(&pgproto3.ErrorResponse{Severity: "FATAL", SeverityUnlocalized: "FATAL", Code: code, Message: "no"}))
		}, nil)
	}
	works := proxy.Host{Network: "unix", Address: socket(pgtest.Server(t))}
	for _, tt := range []struct{ code, want string }{
		{"57P03", ""}, {"28P01", "28P01"}, {"28000", "28000"}, {"53300", "53300"}, {"3D000", "3D000"},
	} {
		first := proxy.Host{Network: "tcp", Address: refuse(tt.code).ln.Addr().String()}
		f := start(t, w.name, wireUnrestricted, on(proxy.AnyServer, first, works))
		conn, err := pgx.ConnectConfig(t.Context(), f.config(t, w.name, "wire"))
		if code(err) != tt.want {
			t.Errorf("the first host refuses by %s: %v, want %q", tt.code, err, tt.want)
		}
		if err == nil {
			conn.Close(t.Context())
		}
		alone := start(t, w.name, wireUnrestricted, on(proxy.AnyServer, first))
		if _, err := pgx.ConnectConfig(t.Context(), alone.config(t, w.name, "wire")); code(err) != tt.code {
			t.Errorf("the only host refuses by %s: %v", tt.code, err)
		}
	}
}

// TestAServerThatDoesNotReportItsRole is asked for it.
func TestAServerThatDoesNotReportItsRole(t *testing.T) {
	w := newWireBase(t)
	for _, tt := range []struct {
		recovery, readOnly string
		target             proxy.Target
		want               string
	}{
		{"on", "off", proxy.Standby, ""},
		{"off", "off", proxy.ReadWrite, ""},
		{"off", "on", proxy.ReadOnly, ""},
		{"off", "on", proxy.ReadWrite, "08001"},
		{"on", "off", proxy.Primary, "08001"},
	} {
		quiet := newFakeServer(t, func(conn net.Conn) {
			if _, err := conn.Write(welcome()); err != nil {
				return
			}
			for _, value := range []string{tt.recovery, tt.readOnly} {
				if typ, _, err := next(conn); err != nil || typ != 'Q' {
					return
				}
				_, _ = conn.Write(encode(&pgproto3.DataRow{Values: [][]byte{[]byte(value)}}, &pgproto3.CommandComplete{CommandTag: []byte("SELECT 1")}, &pgproto3.ReadyForQuery{TxStatus: 'I'}))
			}
			_, _, _ = next(conn)
		}, nil)
		f := start(t, w.name, wireUnrestricted, on(tt.target, proxy.Host{Network: "tcp", Address: quiet.ln.Addr().String()}))
		conn, err := pgx.ConnectConfig(t.Context(), f.config(t, w.name, "wire"))
		if code(err) != tt.want {
			t.Errorf("%+v: %v", tt, err)
		}
		if err == nil {
			conn.Close(t.Context())
		}
	}
}

// TestHostsInRandomOrder logs in until it was on both of two hosts. That one of
// them is never first in 60 logins happens once in 2^59 runs.
func TestHostsInRandomOrder(t *testing.T) {
	w := newWireBase(t)
	counts := map[string]int{}
	var hosts []proxy.Host
	for _, name := range []string{"a", "b"} {
		s := newFakeServer(t, func(conn net.Conn) {
			_, _ = conn.Write(encode(&pgproto3.ErrorResponse{Severity: "FATAL", SeverityUnlocalized: "FATAL", Code: "28000", Message: name}))
		}, nil)
		hosts = append(hosts, proxy.Host{Network: "tcp", Address: s.ln.Addr().String()})
	}
	f := start(t, w.name, wireUnrestricted, on(proxy.AnyServer, hosts...), func(o *proxy.Options) { o.Upstream.Shuffle = true })
	for range 60 {
		_, err := pgx.ConnectConfig(t.Context(), f.config(t, w.name, "wire"))
		counts[said(err)]++
	}
	if counts["28000 a"] == 0 || counts["28000 b"] == 0 || len(counts) != 2 {
		t.Errorf("logins by host: %v", counts)
	}
}
