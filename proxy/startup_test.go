package proxy_test

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/pgveil/pgveil/internal/pgserver"
	"github.com/pgveil/pgveil/internal/pgtest"
	"github.com/pgveil/pgveil/proxy"
	"github.com/pgveil/pgveil/proxy/auth"
)

// certificate makes a certificate for 127.0.0.1 that signs itself.
func certificate(t testing.TB) (tls.Certificate, *x509.CertPool) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(leaf)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}, roots
}

// overTCP lets a front reach the server where it asks for passwords.
func overTCP(t testing.TB) func(*proxy.Options) {
	return func(o *proxy.Options) {
		o.Upstream.Hosts = []proxy.Host{{Network: "tcp", Address: pgtest.Server(t).Addr()}}
	}
}

// scram lets clients log in against the server's verifiers.
func scram(t testing.TB) func(*proxy.Options) {
	config, err := pgx.ParseConfig(pgtest.Server(t).DSN("postgres", pgserver.Superuser))
	if err != nil {
		t.Fatal(err)
	}
	query := auth.NewAuthQuery(func(ctx context.Context) (*pgx.Conn, error) { return pgx.ConnectConfig(ctx, config) }, "")
	t.Cleanup(func() {
		if err := query.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return func(o *proxy.Options) {
		o.Method, o.Lookup, o.MockKey = proxy.SCRAM, query.Lookup, bytes.Repeat([]byte{1}, 32)
	}
}

// TestLogins logs in by every method, with and without TLS.
func TestLogins(t *testing.T) {
	database := pgtest.Database(t, "shop")
	cert, roots := certificate(t)
	withTLS := func(o *proxy.Options) { o.TLS = &tls.Config{Certificates: []tls.Certificate{cert}} }
	passthrough := func(o *proxy.Options) { o.Method = proxy.Passthrough }
	for _, tt := range []struct {
		name     string
		edits    []func(*proxy.Options)
		query    string
		password string
		want     string // SQLSTATE; "" gets in
	}{
		{"SCRAM", []func(*proxy.Options){scram(t), overTCP(t)}, "sslmode=disable", "alice-password", ""},
		{"SCRAM, wrong", []func(*proxy.Options){scram(t), overTCP(t)}, "sslmode=disable", "wrong", "28P01"},
		{"SCRAM under TLS", []func(*proxy.Options){scram(t), overTCP(t), withTLS}, "sslmode=verify-full&channel_binding=disable", "alice-password", ""},
		{"SCRAM bound to TLS", []func(*proxy.Options){scram(t), overTCP(t), withTLS}, "sslmode=verify-full&channel_binding=require", "alice-password", ""},
		{"SCRAM bound to TLS, wrong", []func(*proxy.Options){scram(t), overTCP(t), withTLS}, "sslmode=verify-full&channel_binding=require", "wrong", "28P01"},
		{"passthrough", []func(*proxy.Options){passthrough, overTCP(t)}, "sslmode=disable", "alice-password", ""},
		{"passthrough under TLS", []func(*proxy.Options){passthrough, overTCP(t), withTLS}, "sslmode=verify-full", "alice-password", ""},
		{"passthrough, wrong", []func(*proxy.Options){passthrough, overTCP(t)}, "sslmode=disable", "wrong", "28P01"},
		{"trust under direct TLS", []func(*proxy.Options){withTLS}, "sslmode=verify-full&sslnegotiation=direct", "", ""},
		{"trust", nil, "sslmode=disable", "", ""},
		{"no method", []func(*proxy.Options){func(o *proxy.Options) { o.Method = 0 }}, "sslmode=disable", "x", "28000"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f := start(t, database, shopPolicy, tt.edits...)
			c, err := pgx.ParseConfig(fmt.Sprintf("postgres://alice:%s@%s/%s?%s", tt.password, f.Addr, database, tt.query))
			if err != nil {
				t.Fatal(err)
			}
			if c.TLSConfig != nil {
				c.TLSConfig.RootCAs = roots
			}
			conn, err := pgx.ConnectConfig(t.Context(), c)
			if code(err) != tt.want {
				t.Fatalf("%v, want %q", err, tt.want)
			}
			if err != nil {
				return
			}
			if got := text(t.Context(), conn, "SELECT current_user"); got != "alice\n" {
				t.Errorf("logged in as %q", got)
			}
			if err := conn.Close(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestUnknownUsersLookLikeWrongPasswords compares what a client is told, up to
// the name that it gave itself.
func TestUnknownUsersLookLikeWrongPasswords(t *testing.T) {
	database := pgtest.Database(t, "shop")
	for name, method := range map[string]func(*proxy.Options){"SCRAM": scram(t), "passthrough": func(o *proxy.Options) { o.Method = proxy.Passthrough }} {
		f := start(t, database, shopPolicy, method, overTCP(t))
		told := map[string]string{}
		// bob is a role that the policy does not know, nobody is no role at all.
		for _, user := range []string{"alice", "bob", "nobody"} {
			config, err := pgx.ParseConfig(fmt.Sprintf("postgres://%s:wrong@%s/%s?sslmode=disable", user, f.Addr, database))
			if err != nil {
				t.Fatal(err)
			}
			_, err = pgx.ConnectConfig(t.Context(), config)
			var e *pgconn.PgError
			if !errors.As(err, &e) {
				t.Fatalf("%s: %s: %v", name, user, err)
			}
			e.File, e.Line = "", 0
			told[user] = strings.ReplaceAll(fmt.Sprintf("%+v", *e), user, "USER")
		}
		if told["alice"] != told["nobody"] || told["alice"] != told["bob"] {
			t.Errorf("%s: who is known is told: %v", name, told)
		}
	}
}

// packet makes a packet of the startup phase.
func packet(code uint32, body string) string {
	b := binary.BigEndian.AppendUint32(nil, uint32(8+len(body)))
	return string(binary.BigEndian.AppendUint32(b, code)) + body
}

const (
	version30  = 3 << 16
	version32  = 3<<16 | 2
	sslRequest = "\x00\x00\x00\x08\x04\xd2\x16\x2f"
	gssRequest = "\x00\x00\x00\x08\x04\xd2\x16\x30"
)

// told sends bytes, and no more, and gives what comes back: with a FATAL error
// as its SQLSTATE.
func told(t *testing.T, conn net.Conn, send string) string {
	t.Helper()
	// The server may refuse and close before it has read everything.
	_, _ = io.WriteString(conn, send)
	_ = conn.(*net.TCPConn).CloseWrite()
	return asked(t, conn, "")
}

// asked is told by a client that may have more to say.
func asked(t *testing.T, conn net.Conn, send string) string {
	t.Helper()
	_, _ = io.WriteString(conn, send)
	got, err := io.ReadAll(conn)
	if ne, ok := errors.AsType[net.Error](err); ok && ne.Timeout() {
		return "stuck"
	}
	before, after, found := strings.Cut(string(got), "VFATAL\x00C")
	if found {
		return strings.TrimRight(before[:len(before)-len("E....SFATAL\x00")], "\x00") + after[:5]
	}
	return string(got)
}

// TestHostileStartup begins connections as no client should.
func TestHostileStartup(t *testing.T) {
	database := pgtest.Database(t, "shop")
	cert, roots := certificate(t)
	plain := start(t, database, shopPolicy)
	secured := start(t, database, shopPolicy, func(o *proxy.Options) { o.TLS = &tls.Config{Certificates: []tls.Certificate{cert}} })
	user := "user\x00alice\x00database\x00" + database + "\x00"
	for _, tt := range []struct {
		name  string
		front *front
		send  string
		want  string // what comes back, with a FATAL error as its SQLSTATE
	}{
		{"nothing", plain, "", ""},
		{"one byte", plain, "\x00", ""},
		{"a short head", plain, "\x00\x00\x00\x08\x00\x03", ""},
		{"a length of zero", plain, "\x00\x00\x00\x00\x00\x03\x00\x00", "08P01"},
		{"a length of seven", plain, "\x00\x00\x00\x07\x00\x03\x00\x00", "08P01"},
		{"a huge length", plain, "\x7f\xff\xff\xff\x00\x03\x00\x00", "08P01"},
		{"a negative length", plain, "\xff\xff\xff\xff\x00\x03\x00\x00", "08P01"},
		{"more than PostgreSQL takes", plain, "\x00\x00\x27\x11\x00\x03\x00\x00", "08P01"},
		{"as much as PostgreSQL takes", plain, packet(version30, "x\x00"+strings.Repeat("a", 9988)+"\x00\x00"), "28000"},
		{"HTTP", plain, "GET / HTTP/1.1\r\n\r\n", "08P01"},
		{"no terminator", plain, packet(version30, "user\x00alice\x00"), "08P01"},
		{"no zero", plain, packet(version30, "user"), "08P01"},
		{"a name without a value", plain, packet(version30, "user\x00alice\x00x\x00"), "08P01"},
		{"an empty body", plain, packet(version30, ""), "08P01"},
		{"no user", plain, packet(version30, "\x00"), "28000"},
		{"an empty user", plain, packet(version30, "user\x00\x00\x00"), "28000"},
		{"a user too long", plain, packet(version30, "user\x00"+strings.Repeat("a", 64)+"\x00\x00"), "28000"},
		{"bytes behind the terminator", plain, packet(version30, user+"\x00more"), "08P01"},
		{"a parameter twice", plain, packet(version30, user+"user\x00dora\x00\x00"), "08P01"},
		{"the database twice", plain, packet(version30, user+"database\x00postgres\x00\x00"), "08P01"},
		{"protocol 2.0", plain, packet(2<<16, strings.Repeat("\x00", 288)), "EFATAL:  unsupported frontend protocol 2.0: server supports 3.0 to 3.2\n\x00"},
		{"protocol 4.0", plain, packet(4<<16, user+"\x00"), "0A000"},
		{"protocol 0", plain, packet(0, ""), "0A000"},
		{"another database", plain, packet(version30, "user\x00alice\x00database\x00postgres\x00\x00"), "42501"},
		{"a user without a policy", plain, packet(version30, "user\x00otto\x00database\x00"+database+"\x00\x00"), "28000"},
		{"TLS where there is none, twice", plain, sslRequest + sslRequest, "N08P01"},
		{"GSSAPI twice", plain, gssRequest + gssRequest, "N08P01"},
		{"GSSAPI, TLS, then neither", plain, gssRequest + sslRequest + packet(version30, "\x00"), "NN28000"},
		{"a CancelRequest of nobody", plain, packet(80877102, "\x00\x00\x00\x01\x00\x00\x00\x02"), ""},
		{"a CancelRequest without a key", plain, packet(80877102, ""), ""},
		{"a CancelRequest with a long key", plain, packet(80877102, "\x00\x00\x00\x01"+strings.Repeat("x", 256)), ""},
		{"clear bytes behind SSLRequest", secured, sslRequest + packet(version30, user+"\x00"), "S"},
		{"rubbish as direct TLS", secured, "\x16\x03\x01\x00\x05hello", "\x15\x03\x01\x00\x02\x02\x0a"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := told(t, tt.front.dial(t), tt.send)
			if tt.want == "S" {
				got = got[:min(1, len(got))] // and TLS's own words
			}
			if got != tt.want && !(strings.HasPrefix(tt.want, "\x15") && strings.HasPrefix(got, "\x15")) {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
	for _, f := range []*front{plain, secured} {
		c := f.config(t, database, "alice")
		if f == secured {
			c.TLSConfig = &tls.Config{RootCAs: roots, ServerName: "127.0.0.1"}
		}
		conn, err := pgx.ConnectConfig(t.Context(), c)
		if err != nil {
			t.Fatalf("afterwards: %v", err)
		}
		if err := conn.Close(t.Context()); err != nil {
			t.Error(err)
		}
	}
}

// TestDirectTLS takes a connection under TLS from its first byte only from a
// client that says what protocol it means.
func TestDirectTLS(t *testing.T) {
	database := pgtest.Database(t, "shop")
	cert, roots := certificate(t)
	f := start(t, database, shopPolicy, func(o *proxy.Options) { o.TLS = &tls.Config{Certificates: []tls.Certificate{cert}} })
	start := packet(version30, "user\x00alice\x00database\x00"+database+"\x00\x00")
	for _, tt := range []struct {
		name string
		alpn []string
		send string
		ok   bool
	}{
		{"with ALPN", []string{"postgresql"}, start, true},
		{"without", nil, start, false},
		{"for another protocol", []string{"h2"}, start, false},
		{"and SSLRequest within", []string{"postgresql"}, sslRequest + start, true},
		{"and TLS within TLS", []string{"postgresql"}, "\x16\x03\x01", false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			conn := tls.Client(f.dial(t), &tls.Config{RootCAs: roots, ServerName: "127.0.0.1", NextProtos: tt.alpn})
			_, err := io.WriteString(conn, tt.send)
			if err == nil {
				err = conn.CloseWrite()
			}
			got, readErr := io.ReadAll(conn)
			ok := strings.Contains(string(got), "R\x00\x00\x00\x08\x00\x00\x00\x00")
			if ok != tt.ok {
				t.Errorf("let in: %t, want %t (%q, %v, %v)", ok, tt.ok, got, err, readErr)
			}
		})
	}
}

// TestAskedAgainUnderTLS asks for encryption once more, within TLS.
func TestAskedAgainUnderTLS(t *testing.T) {
	database := pgtest.Database(t, "shop")
	cert, roots := certificate(t)
	f := start(t, database, shopPolicy, func(o *proxy.Options) { o.TLS = &tls.Config{Certificates: []tls.Certificate{cert}} })
	for _, tt := range []struct{ name, clear, under, want string }{
		{"for TLS", sslRequest, sslRequest, "08P01"},
		{"for GSSAPI", sslRequest, gssRequest + packet(version30, "\x00"), "N28000"},
		{"for GSSAPI twice", sslRequest, gssRequest + gssRequest, "N08P01"},
		{"for TLS twice, within direct TLS", "", sslRequest + sslRequest, "N08P01"},
		{"for GSSAPI, twice in all", gssRequest + sslRequest, gssRequest, "08P01"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			conn := f.dial(t)
			if _, err := io.WriteString(conn, tt.clear); err != nil {
				t.Fatal(err)
			}
			if _, err := io.ReadFull(conn, make([]byte, len(tt.clear)/len(sslRequest))); err != nil {
				t.Fatal(err)
			}
			secured := tls.Client(conn, &tls.Config{RootCAs: roots, ServerName: "127.0.0.1", NextProtos: []string{"postgresql"}})
			if got := asked(t, secured, tt.under); got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}

// TestStartupSettingsOfFreeCallers logs in with settings under which texts are
// read in another way, which are open to callers from whom nothing is kept.
func TestStartupSettingsOfFreeCallers(t *testing.T) {
	database := pgtest.Database(t, "shop")
	f := start(t, database, shopPolicy)
	for _, set := range [][]string{{"standard_conforming_strings", "off"}, {"client_encoding", "SJIS"}} {
		for user, want := range map[string]string{"dora": "", "alice": "42501"} {
			conn, err := pgx.ConnectConfig(t.Context(), f.config(t, database, user, set...))
			if code(err) != want {
				t.Errorf("%s with %v: %v, want %q", user, set, err, want)
			}
			if err == nil {
				conn.Close(t.Context())
			}
		}
	}
}
