package main

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// writeFiles writes the files of one contender.
func writeFiles(dir string, mode os.FileMode, files map[string]string) error {
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), mode); err != nil {
			return err
		}
	}
	return nil
}

// maxSessions is how many sessions at once a contender must be able to hold.
func (b *bench) maxSessions() int { return b.o.idle + 100 }

// prepareHAProxy relays bytes. TLS, where there is any, is between the client
// and the server.
func prepareHAProxy(b *bench, dir string, r *running) ([]string, error) {
	server := fmt.Sprintf("127.0.0.1:%d", b.server.Port())
	if b.o.unix {
		server = fmt.Sprintf("unix@%s/.s.PGSQL.%d", b.server.SocketDir(), b.server.Port())
	}
	conf := fmt.Sprintf(`global
  nbthread 1
  maxconn %d
defaults
  mode tcp
  maxconn %[1]d
  timeout connect 10s
  timeout client 1h
  timeout server 1h
listen postgres
  bind 127.0.0.1:%d
  server one %s
`, b.maxSessions(), r.port, server)
	return []string{findProgram("haproxy"), "-db", "-f", "haproxy.cfg"}, writeFiles(dir, 0o600, map[string]string{"haproxy.cfg": conf})
}

// preparePgBouncer lets clients in by the server's own verifiers, with which
// it logs in to the server as well.
func preparePgBouncer(b *bench, dir string, r *running) ([]string, error) {
	conf := fmt.Sprintf(`[databases]
%s = host=%s port=%d
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = %d
unix_socket_dir =
auth_type = scram-sha-256
auth_file = %s
pool_mode = session
max_client_conn = %d
default_pool_size = %[6]d
ignore_startup_parameters = extra_float_digits
log_connections = 0
log_disconnections = 0
`, database, b.serverHost(), b.server.Port(), r.port, filepath.Join(dir, "users"), b.maxSessions())
	if b.tls {
		conf += fmt.Sprintf("client_tls_sslmode = require\nclient_tls_cert_file = %s\nclient_tls_key_file = %s\nserver_tls_sslmode = require\n", b.certFile(), b.keyFile())
	}
	var users strings.Builder
	for login, verifier := range b.verifiers {
		fmt.Fprintf(&users, "%q %q\n", login, verifier)
	}
	argv := []string{findProgram("pgbouncer"), "pgbouncer.ini"}
	if os.Geteuid() == 0 { // it refuses to run as root
		owner, err := ownerOf(b.server.SocketDir())
		if err != nil {
			return nil, err
		}
		argv = append(argv, "-u", owner)
	}
	return argv, writeFiles(dir, 0o644, map[string]string{"pgbouncer.ini": conf, "users": users.String()})
}

// appendFile appends to a file that is there.
func appendFile(name, text string) error {
	f, err := os.OpenFile(name, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = f.WriteString(text)
	return errors.Join(err, f.Close())
}

// ownerOf gives the user whom a folder belongs to.
func ownerOf(dir string) (string, error) {
	info, err := os.Stat(dir)
	if err != nil {
		return "", err
	}
	stat, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return "", fmt.Errorf("the owner of %s is not known", dir)
	}
	u, err := user.LookupId(strconv.FormatUint(uint64(stat.Uid), 10))
	if err != nil {
		return "", err
	}
	return u.Username, nil
}

// preparePgveil has pgveil check logins itself, by the server's verifiers, and
// leaves everything but the durability of its log as it comes. Without a program
// it is the one that was built.
func preparePgveil(durability, program string) func(*bench, string, *running) ([]string, error) {
	return func(b *bench, dir string, r *running) ([]string, error) {
		conf := fmt.Sprintf(`listen: ["127.0.0.1:%d"]
database: %s
policy: policy.yaml
server: {host: "%s", port: %d, tls: %s, login: postgres, password_file: password}
auth: {method: scram}
audit: {dir: audit, durability: %s}
key: key
log: {level: warn}
`, r.port, database, b.serverHost(), b.server.Port(), b.sslMode(), durability)
		if b.tls {
			conf += fmt.Sprintf("tls: {cert: %s, key: %s}\n", b.certFile(), b.keyFile())
		}
		if b.o.profile != "" {
			conf += fmt.Sprintf("admin: 127.0.0.1:%d\npprof: true\n", r.admin)
		}
		if program == "" {
			program = b.pgveil
		}
		var key [32]byte
		rand.Read(key[:])
		return []string{program, "serve", "--config", "pgveil.yaml"}, writeFiles(dir, 0o600, map[string]string{
			"pgveil.yaml": conf, "policy.yaml": benchPolicy(false), "password": b.server.Password(), "key": hex.EncodeToString(key[:]),
		})
	}
}

// subjectsText and limitsText are what policies of named and limited have beside
// that of restricted.
const (
	subjectsText = `
subjects:
  customer: {table: public.customers, key: id}
  account:  {table: public.pgbench_accounts, key: aid}
`
	limitsText = `
limits: {rows: 1000000000000/day, bytes: 1000000GB/day, statements: 1000000000000/day, subjects: 1000000000000/day}
`
)

// prepareNamed is preparePgveil with more of a policy, and the tables that pgveil
// looks names of subjects up in.
func prepareNamed(program, more string) func(*bench, string, *running) ([]string, error) {
	return func(b *bench, dir string, r *running) ([]string, error) {
		argv, err := preparePgveil("relaxed", program)(b, dir, r)
		if err != nil {
			return nil, err
		}
		if err := writeFiles(dir, 0o600, map[string]string{"policy.yaml": benchPolicy(false) + more}); err != nil {
			return nil, err
		}
		schema := exec.Command(argv[0], "schema", "--apply", "--config", "pgveil.yaml")
		schema.Dir = dir
		if out, err := schema.CombinedOutput(); err != nil {
			return nil, fmt.Errorf("pgveil schema: %w\n%s", err, out)
		}
		return argv, nil
	}
}

// The certificate that the server made for itself serves all: nobody verifies
// it, which costs the same everywhere.
func (b *bench) certFile() string { return filepath.Join(b.server.SocketDir(), "server.crt") }
func (b *bench) keyFile() string  { return filepath.Join(b.server.SocketDir(), "server.key") }
