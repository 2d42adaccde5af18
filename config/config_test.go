package config

import (
	"context"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

const good = `
listen: [127.0.0.1:6432, "unix:/run/pgveil.sock"]
tls: {cert: server.crt, key: server.key}
admin: 127.0.0.1:9187
database: crm
policy: policy
server: {host: db.example, ca: root.crt, login: pgveil, password_file: password}
auth: {method: scram}
audit: {dir: audit}
key: pgveil.key
limits: {login_timeout: 10s}
`

func write(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "pgveil.yaml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestLoadFillsInDefaultsAndPaths(t *testing.T) {
	path := write(t, good)
	c, err := Load(path)
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Dir(path)
	for _, tt := range []struct{ name, got, want string }{
		{"policy", c.Policy, filepath.Join(dir, "policy")},
		{"key", c.Key, filepath.Join(dir, "pgveil.key")},
		{"certificate", c.TLS.Cert, filepath.Join(dir, "server.crt")},
		{"server's TLS", c.Server.TLS, "verify-full"},
		{"durability", c.Audit.Durability, "intent"},
	} {
		if tt.got != tt.want {
			t.Errorf("%s = %q, want %q", tt.name, tt.got, tt.want)
		}
	}
	if c.Limits.LoginTimeout != 10*time.Second || c.Limits.Unauthenticated != 200 || c.TLS.Optional || c.Pprof {
		t.Errorf("limits and switches = %+v, optional %v, pprof %v", c.Limits, c.TLS.Optional, c.Pprof)
	}
}

func TestLoadTellsEveryProblem(t *testing.T) {
	for _, tt := range []struct {
		name, text string
		want       []string
	}{
		{"an unknown key", good + "polcy: x\n", []string{"polcy"}},
		{"not YAML", "listen: [", []string{"pgveil.yaml"}},
		{"nothing", "{}", []string{"listen: is missing", "database: is missing", "policy: is missing", "server.host", "server.login", "audit.dir", "key: is missing"}},
		{"bad words", strings.NewReplacer("scram", "guess", "audit: {dir: audit}", "audit: {dir: audit, durability: maybe}").Replace(good), []string{`auth.method: "guess" is not one of scram, passthrough, trust`, "audit.durability"}},
		{"a bad address", strings.Replace(good, "127.0.0.1:6432", "localhost", 1), []string{"listen: "}},
		{"half a certificate", strings.Replace(good, ", key: server.key", "", 1), []string{"tls.key: is missing"}},
		{"a negative limit", strings.Replace(good, "10s", "-10s", 1), []string{"limits: must be positive"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := Load(write(t, tt.text))
			if err == nil {
				t.Fatal("Load took it")
			}
			for _, want := range tt.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("Load = %v, which does not say %q", err, want)
				}
			}
		})
	}
}

func TestWatchSeesContentOnly(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "a.yaml")
	put := func(text string) {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	put("one")
	before := digest([]string{dir})
	put("one")
	if digest([]string{dir}) != before {
		t.Error("the same content counts as a change")
	}
	put("two")
	if digest([]string{dir}) == before {
		t.Error("other content does not count as a change")
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	changed := make(chan struct{}, 1)
	go Watch(ctx, time.Millisecond, func() {
		select {
		case changed <- struct{}{}:
		default:
		}
	}, dir)
	for i := 0; ; i++ { // the first may come before Watch has looked at all
		put(strconv.Itoa(i))
		select {
		case <-changed:
			return
		case <-ctx.Done():
			t.Fatal("Watch did not see a change")
		case <-time.After(20 * time.Millisecond):
		}
	}
}
