package main

import (
	"bufio"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pgveil/pgveil/config"
	"github.com/pgveil/pgveil/internal/pgserver"
	"github.com/pgveil/pgveil/internal/pgtest"
	"github.com/pgveil/pgveil/proxy/auth"
)

// everywhere lets roles in by password over IPv4, IPv6 and the unix socket.
const everywhere = `local all postgres trust
local all all scram-sha-256
host  all all 127.0.0.1/32 scram-sha-256
host  all all ::1/128 scram-sha-256
`

// newServer starts a PostgreSQL with the roles alice, whom the policy of
// serving knows, and pgveil.
func newServer(t *testing.T, secured bool) *pgserver.Server {
	t.Helper()
	dir := t.TempDir()
	hba := filepath.Join(dir, "hba.conf")
	if err := errors.Join(os.WriteFile(hba, []byte(everywhere), 0o644), os.Chmod(dir, 0o755), os.Chmod(filepath.Dir(dir), 0o755)); err != nil {
		t.Fatal(err)
	}
	s, err := pgserver.Start(t.Context(), pgserver.Options{
		BinDir: os.Getenv(pgtest.EnvBin), FastUnsafe: true, TLS: secured, Settings: map[string]string{"hba_file": hba, "listen_addresses": "127.0.0.1,::1"},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Stop(); err != nil {
			t.Error(err)
		}
	})
	conn, err := pgx.Connect(t.Context(), s.DSN("postgres", pgserver.Superuser))
	if err != nil {
		t.Fatal(err)
	}
	_, err = conn.PgConn().Exec(t.Context(), `CREATE ROLE alice LOGIN PASSWORD 'alice-password';
		CREATE ROLE pgveil LOGIN PASSWORD 'pgveil-password'; GRANT SELECT ON pg_authid TO pgveil`).ReadAll()
	if err := errors.Join(err, conn.Close(t.Context())); err != nil {
		t.Fatal(err)
	}
	return s
}

// served is a pgveil that runs in this process.
type served struct {
	dir   string
	lines chan string // of its log
}

// serving runs pgveil with these lines of configuration, until the test ends.
func serving(t *testing.T, dir, lines string) *served {
	t.Helper()
	for name, text := range map[string]string{
		"pgveil.yaml":   lines + "\ndatabase: postgres\npolicy: policy.yaml\nkey: key\naudit: {dir: audit}\n",
		"policy.yaml":   "version: 1\nroles: {all: {unrestricted: true}}\nusers: {alice: {roles: [all]}}\n",
		"key":           strings.Repeat("0f", 32),
		"password_file": "pgveil-password\n",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	cfg, err := config.Load(filepath.Join(dir, "pgveil.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	s := &served{dir: dir, lines: make(chan string, 1000)}
	r, w := io.Pipe()
	go func() {
		for scan := bufio.NewScanner(r); scan.Scan(); {
			s.lines <- scan.Text()
		}
		close(s.lines)
	}()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() {
		done <- serve(ctx, cfg, slog.New(slog.NewTextHandler(w, nil)))
		w.Close()
	}()
	t.Cleanup(func() {
		cancel()
		for range s.lines {
		}
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return s
}

// wait waits for a line of the log that holds the words, and gives what stands
// behind them.
func (s *served) wait(t *testing.T, words string) string {
	t.Helper()
	timeout := time.After(20 * time.Second)
	for {
		select {
		case line, ok := <-s.lines:
			if !ok {
				t.Fatalf("pgveil ended before it said %q", words)
			}
			if _, after, found := strings.Cut(line, words); found {
				return after
			}
		case <-timeout:
			t.Fatalf("pgveil does not say %q", words)
		}
	}
}

// login logs in as alice and gives what the query answers.
func login(t *testing.T, network, address, sql string, secured *tls.Config) (string, error) {
	t.Helper()
	c, err := pgx.ParseConfig("user=alice password=alice-password dbname=postgres sslmode=disable")
	if err != nil {
		t.Fatal(err)
	}
	c.DialFunc = func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, network, address)
	}
	c.TLSConfig = secured
	conn, err := pgx.ConnectConfig(t.Context(), c)
	if err != nil {
		return "", err
	}
	defer conn.Close(t.Context())
	var got string
	err = conn.QueryRow(t.Context(), sql).Scan(&got)
	return got, err
}

// TestListensAndConnectsEverywhere logs in over IPv4, IPv6, and unix sockets
// with and without a file, where pgveil itself reaches the server over each of
// the first three.
func TestListensAndConnectsEverywhere(t *testing.T) {
	server := newServer(t, false)
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if err := closed.Close(); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct{ name, host, want string }{
		{"IPv4", "127.0.0.1", "127.0.0.1"},
		{"IPv6", "'::1'", "::1"},
		{"a unix socket", server.SocketDir(), "none"},
		{"the second of two hosts", "'" + closed.Addr().String() + ",[::1]:" + strconv.Itoa(server.Port()) + "'", "::1"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			abstract := "@pgveil-test-" + rand.Text()
			s := serving(t, dir, fmt.Sprintf(`
listen: ["127.0.0.1:0", "[::1]:0", "unix:s", "unix:%s"]
socket_mode: 0750
server: {host: %s, port: %d, tls: disable, login: pgveil, password_file: password_file}`, abstract, tt.host, server.Port()))
			ip4, ip6 := s.wait(t, "listening address="), strings.Trim(s.wait(t, "listening address="), `"`)
			path := filepath.Join(dir, "s")
			for _, a := range []struct{ network, address string }{{"tcp", ip4}, {"tcp", ip6}, {"unix", path}, {"unix", abstract}} {
				got, err := login(t, a.network, a.address, "SELECT coalesce(host(inet_server_addr()), 'none')", nil)
				if err != nil || got != tt.want {
					t.Errorf("login at %s: the server is at %q, %v, want %q", a.address, got, err, tt.want)
				}
			}
			if info, err := os.Stat(path); err != nil || info.Mode() != fs.ModeSocket|0o750 {
				t.Errorf("the socket is %v, %v", info.Mode(), err)
			}
		})
	}
}

// TestServerUnderTLS reaches the server under TLS, for sessions and for pgveil's
// own connections, by asking for it and, where the server knows that, directly.
func TestServerUnderTLS(t *testing.T) {
	server := newServer(t, true)
	conn := pgtest.Connect(t, server.DSN("postgres", pgserver.Superuser))
	var version int
	if err := conn.QueryRow(t.Context(), "SELECT current_setting('server_version_num')::int").Scan(&version); err != nil {
		t.Fatal(err)
	}
	for _, direct := range []bool{false, version >= 170000} {
		s := serving(t, t.TempDir(), fmt.Sprintf(`
listen: ["127.0.0.1:0"]
server: {host: [127.0.0.1, localhost], port: %d, tls: verify-full, tls_direct: %t, ca: %s, login: pgveil, password_file: password_file}`,
			server.Port(), direct, server.CAFile()))
		got, err := login(t, "tcp", s.wait(t, "listening address="), "SELECT string_agg(DISTINCT ssl::text, ' ') FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) WHERE client_port > 0", nil)
		if err != nil || got != "true" {
			t.Errorf("direct %t: connections under TLS: %q, %v, want all", direct, got, err)
		}
	}
}

// TestStaleSockets takes the place of a socket that nobody listens on, and of
// nothing else.
func TestStaleSockets(t *testing.T) {
	dir := t.TempDir()
	stale, used, file := filepath.Join(dir, "stale"), filepath.Join(dir, "used"), filepath.Join(dir, "file")
	for _, path := range []string{stale, used} {
		ln, err := net.ListenUnix("unix", &net.UnixAddr{Name: path})
		if err != nil {
			t.Fatal(err)
		}
		ln.SetUnlinkOnClose(false)
		if path == used {
			defer ln.Close()
			continue
		}
		if err := ln.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct{ path, want string }{
		{stale, ""}, {filepath.Join(dir, "new"), ""},
		{used, "somebody listens on " + used}, {file, "is there and is no socket"}, {filepath.Join(dir, "no", "folder"), "no such file"},
	} {
		ln, err := listenUnix(tt.path, 0o600)
		if (err == nil) != (tt.want == "") || err != nil && !strings.Contains(err.Error(), tt.want) {
			t.Errorf("listen on %s: %v, want %q", tt.path, err, tt.want)
		}
		if err == nil {
			if err := ln.Close(); err != nil {
				t.Error(err)
			}
		}
	}
	if _, err := os.Stat(file); err != nil {
		t.Error(err)
	}
}

// writeCertificate puts a new certificate for 127.0.0.1 into two files.
func writeCertificate(t *testing.T, certFile, keyFile string) *x509.CertPool {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "pgveil"}, NotAfter: time.Now().Add(time.Hour), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	certPEM := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	err = errors.Join(os.WriteFile(certFile, certPEM, 0o600), os.WriteFile(keyFile, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8}), 0o600))
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(certPEM)
	return roots
}

// TestRenewedCertificates sends SIGHUP after the files of the certificate have
// changed, first to a new one, then to rubbish.
func TestRenewedCertificates(t *testing.T) {
	server := newServer(t, false)
	dir := t.TempDir()
	cert, key := filepath.Join(dir, "tls.crt"), filepath.Join(dir, "tls.key")
	first := writeCertificate(t, cert, key)
	s := serving(t, dir, fmt.Sprintf(`
listen: ["127.0.0.1:0", "unix:s"]
tls: {cert: tls.crt, key: tls.key}
server: {host: 127.0.0.1, port: %d, tls: disable, login: pgveil, password_file: password_file}`, server.Port()))
	address := s.wait(t, "listening address=")
	trusts := func(roots *x509.CertPool) bool {
		got, err := login(t, "tcp", address, "SELECT current_user::text", &tls.Config{RootCAs: roots, ServerName: "127.0.0.1"})
		if err == nil && got != "alice" {
			t.Errorf("logged in as %q", got)
		}
		return err == nil
	}
	if !trusts(first) {
		t.Fatal("the first certificate is not served")
	}
	if _, err := login(t, "tcp", address, "SELECT 'x'", nil); err == nil {
		t.Error("a login over TCP in clear is let in")
	}
	if _, err := login(t, "unix", filepath.Join(dir, "s"), "SELECT 'x'", nil); err != nil {
		t.Errorf("a login over a unix socket, where there is no TLS: %v", err)
	}
	second := writeCertificate(t, cert, key)
	hangUp(t)
	s.wait(t, "reloaded")
	if trusts(first) || !trusts(second) {
		t.Error("the second certificate is not served")
	}
	if err := os.WriteFile(cert, []byte("rubbish"), 0o600); err != nil {
		t.Fatal(err)
	}
	hangUp(t)
	s.wait(t, "certificates not reloaded")
	s.wait(t, "reloaded")
	if !trusts(second) {
		t.Error("the second certificate is no longer served")
	}
}

func hangUp(t *testing.T) {
	t.Helper()
	if err := syscall.Kill(os.Getpid(), syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
}

// TestRulesAreReadAgain sends SIGHUP after the rules have changed, first to
// others, then to rubbish, then to none.
func TestRulesAreReadAgain(t *testing.T) {
	server := newServer(t, false)
	dir := t.TempDir()
	const lets = "\n  rules:\n    - {from: loopback, users: alice, databases: all, tls: any, method: scram}"
	s := serving(t, dir, fmt.Sprintf(`
listen: ["127.0.0.1:0"]
server: {host: 127.0.0.1, port: %d, tls: disable, login: pgveil, password_file: password_file}
auth:`+lets, server.Port()))
	address := s.wait(t, "listening address=")
	if _, err := login(t, "tcp", address, "SELECT 'x'", nil); err != nil { // and it heeds signals by now
		t.Fatal(err)
	}
	file := filepath.Join(dir, "pgveil.yaml")
	before, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name, rules string
		said        string // by the log
		in          bool
	}{
		{"as they were", lets, "rules in force", true},
		{"for another", strings.Replace(lets, "alice", "bob", 1), "rules in force", false},
		{"with a mistake", strings.Replace(lets, "alice", "all, user: alice", 1), "rules not reloaded", false},
		{"as at first", lets, "rules in force", true},
		{"no rules", " {method: trust}", "rules not reloaded", true},
	} {
		if err := os.WriteFile(file, []byte(strings.Replace(string(before), lets, tt.rules, 1)), 0o600); err != nil {
			t.Fatal(err)
		}
		hangUp(t)
		s.wait(t, tt.said)
		s.wait(t, "reloaded")
		if _, err := login(t, "tcp", address, "SELECT 'x'", nil); (err == nil) != tt.in {
			t.Errorf("%s: login: %v, want in: %t", tt.name, err, tt.in)
		}
	}
}

// TestUsersAreReadAgain changes the users file under a pgveil that asks the
// server for whom it does not name.
func TestUsersAreReadAgain(t *testing.T) {
	server := newServer(t, false)
	dir := t.TempDir()
	file := filepath.Join(dir, "users.txt")
	put := func(text string, mode fs.FileMode) {
		t.Helper()
		if err := errors.Join(os.WriteFile(file, []byte(text), mode), os.Chmod(file, mode)); err != nil {
			t.Fatal(err)
		}
	}
	put("# nobody yet\n", 0o600)
	s := serving(t, dir, fmt.Sprintf(`
listen: ["127.0.0.1:0"]
auth: {users: users.txt, verifiers: file-then-server}
server: {host: 127.0.0.1, port: %d, tls: disable, login: pgveil, password_file: password_file}`, server.Port()))
	address := s.wait(t, "listening address=")
	own, err := auth.UserLine("alice", "another", 4096)
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name, text string
		mode       fs.FileMode
		said       string
		in         bool
	}{
		{"at first", "", 0, "", true},
		{"with another password of hers", own, 0o600, "users in force", false},
		{"with a mistake", "alice alice-password", 0o600, "users not reloaded", false},
		{"to be read by others", "", 0o644, "users not reloaded", false},
		{"empty", "", 0o600, "users in force", true},
	} {
		if tt.said != "" {
			put(tt.text, tt.mode)
			hangUp(t)
			s.wait(t, tt.said)
			s.wait(t, "reloaded")
		}
		if _, err := login(t, "tcp", address, "SELECT 'x'", nil); (err == nil) != tt.in {
			t.Errorf("%s: login: %v, want in: %t", tt.name, err, tt.in)
		}
	}
	put(own+"\n"+strings.Replace(own, "alice", "bob", 1), 0o600) // and nobody says so
	s.wait(t, "users=2")
}
