package auth

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/binary"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/pgveil/pgveil/internal/pgserver"
)

// proxied is a proxy of one session: it ends the client's login, logs in to the
// server with what it learned, and from then on copies bytes.
func proxied(t *testing.T, lookup Lookup, encrypted bool) (dsn string) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	cert, binding := certificate(t)
	config := &tls.Config{Certificates: []tls.Certificate{cert}}
	if !encrypted {
		config, binding = nil, nil
	}
	done := make(chan error, 1)
	go func() {
		conn, err := ln.Accept()
		if err == nil {
			err = serve(t, conn, config, lookup, binding)
		}
		done <- err
	}()
	t.Cleanup(func() {
		ln.Close()
		if err := <-done; err != nil {
			t.Errorf("proxy: %v", err)
		}
	})
	mode := "disable"
	if encrypted {
		mode = "require&channel_binding=require"
	}
	return "postgres://%s@" + ln.Addr().String() + "/postgres?sslmode=" + mode
}

func serve(t *testing.T, conn net.Conn, config *tls.Config, lookup Lookup, binding ChannelBinding) error {
	defer conn.Close()
	startup, err := readStartup(conn)
	if err == nil && config != nil {
		if _, err := conn.Write([]byte("S")); err != nil {
			return err
		}
		conn = tls.Server(conn, config)
		startup, err = readStartup(conn)
	}
	if err != nil {
		return err
	}
	_, rest, _ := strings.Cut(startup, "user\x00")
	user, _, _ := strings.Cut(rest, "\x00")
	client := newSocket(conn)
	server, upstreamBinding, err := upstream(t, user, true)
	if err != nil {
		return err
	}
	secret, err := SCRAM(t.Context(), client, user, lookup, binding, testKey)
	if err == nil {
		err = Login(t.Context(), server, user, secret, LoginOptions{Binding: upstreamBinding, RequireBinding: true})
	}
	if refused := (*LoginError)(nil); errors.As(err, &refused) {
		client.Send('E', []byte("SFATAL\x00C"+refused.Code+"\x00M"+refused.Message+"\x00\x00"))
		return client.Flush()
	}
	if err != nil {
		return err
	}
	if err := errors.Join(sendAuth(client, authOK, ""), client.Flush()); err != nil {
		return err
	}
	go io.Copy(server, client.r)
	io.Copy(client, server.r)
	return nil
}

func readStartup(r io.Reader) (string, error) {
	var head [4]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return "", err
	}
	body := make([]byte, binary.BigEndian.Uint32(head[:])-4)
	_, err := io.ReadFull(r, body)
	return string(body), err
}

func certificate(t testing.TB) (tls.Certificate, ChannelBinding) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := tls.X509KeyPair(
		pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}),
		pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8}))
	if err != nil {
		t.Fatal(err)
	}
	return cert, EndPoint(cert.Leaf)
}

// TestThroughToPostgres logs a driver in to the server through the two halves of
// this package. Nobody in between learns the password.
func TestThroughToPostgres(t *testing.T) {
	q := authQuery(t)
	for _, tt := range []struct {
		name, login string
		tls         bool
		code        string
	}{
		{"plain", "alice:pencil", false, ""},
		{"bound on both sides", "alice:pencil", true, ""},
		{"valid for ever", "future:pencil", true, ""},
		{"wrong password", "alice:eraser", true, codePassword},
		{"unknown", "nobody:pencil", true, codePassword},
		{"expired", "past:pencil", true, codePassword},
		{"not LOGIN", "group_only:pencil", true, codePassword},
		{"without a password", "bare:pencil", true, codePassword},
		{"MD5 password", "old:pencil", true, codePassword},
	} {
		t.Run(tt.name, func(t *testing.T) {
			conn, err := pgx.Connect(t.Context(), fmt.Sprintf(proxied(t, q.Lookup, tt.tls), tt.login))
			user, _, _ := strings.Cut(tt.login, ":")
			var refused *pgconn.PgError
			switch {
			case tt.code != "" && errors.As(err, &refused):
				want := `password authentication failed for user "` + user + `"`
				if refused.Code != tt.code || refused.Message != want {
					t.Errorf("client was told %s %q, want %s %q", refused.Code, refused.Message, tt.code, want)
				}
				return
			case tt.code != "" || err != nil:
				t.Fatalf("login = %v, want SQLSTATE %q", err, tt.code)
			}
			defer conn.Close(context.Background())
			var got string
			if err := conn.QueryRow(t.Context(), "SELECT session_user").Scan(&got); err != nil || got != user {
				t.Errorf("session_user = %q, %v, want %q", got, err, user)
			}
		})
	}
}

// TestPasswordChangedMeanwhile proves a password against an old verifier. The
// server's word counts, not ours.
func TestPasswordChangedMeanwhile(t *testing.T) {
	stale := pencil(t).Verifier
	_, err := pgx.Connect(t.Context(), fmt.Sprintf(proxied(t, only("alice", stale), true), "alice:pencil"))
	var refused *pgconn.PgError
	if !errors.As(err, &refused) || refused.Code != codePassword {
		t.Errorf("login = %v, want SQLSTATE %s", err, codePassword)
	}
}

// psql finds PostgreSQL's own client, of any version: some packages of the
// server come without.
func psql(t *testing.T) string {
	t.Helper()
	names := []string{"psql"}
	if bin, err := pgserver.Find(); err == nil {
		names = append(names, filepath.Join(bin, "psql"))
	}
	for _, name := range names {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	t.Skip("there is no psql")
	return ""
}

// TestThroughByLibpq is the same with PostgreSQL's own client, whose reading of
// SCRAM is the one that counts.
func TestThroughByLibpq(t *testing.T) {
	program, q := psql(t), authQuery(t)
	for _, encrypted := range []bool{false, true} {
		dsn := fmt.Sprintf(proxied(t, q.Lookup, encrypted), "alice:pencil")
		out, err := exec.CommandContext(t.Context(), program, "-XAtc", "SELECT session_user", dsn).CombinedOutput()
		if err != nil || string(out) != "alice\n" {
			t.Errorf("psql with TLS %v = %q, %v, want %q", encrypted, out, err, "alice\n")
		}
	}
}
