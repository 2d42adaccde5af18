package config

import (
	"context"
	"os"
	"path/filepath"
	"reflect"
	"slices"
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
limits: {login_timeout: 10s, loops: 3}
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
	if c.Limits.LoginTimeout != 10*time.Second || c.Limits.Unauthenticated != 200 || c.Limits.Loops != 3 || c.TLS.Optional || c.Pprof {
		t.Errorf("limits and switches = %+v, optional %v, pprof %v", c.Limits, c.TLS.Optional, c.Pprof)
	}
}

// A table that says nothing is one with the defaults; there is none unasked.
func TestAuditTable(t *testing.T) {
	for said, want := range map[string]*AuditTable{
		"audit: {dir: audit}":                        nil,
		"audit: {dir: audit, table: {}}":             {Keep: 400, Batch: 10_000, Every: time.Second},
		"audit: {dir: audit, table: {keep: 30}}":     {Keep: 30, Batch: 10_000, Every: time.Second},
		"audit: {dir: audit, table: {name: crm-eu}}": {Name: "crm-eu", Keep: 400, Batch: 10_000, Every: time.Second},
	} {
		c, err := Load(write(t, strings.Replace(good, "audit: {dir: audit}", said, 1)))
		if err != nil || !reflect.DeepEqual(c.Audit.Table, want) {
			t.Errorf("%s: %+v, %v, want %+v", said, c.Audit.Table, err, want)
		}
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
		{"audit without a key", strings.Replace(good, "audit: {dir: audit}", "audit: {dir: audit, key_before: a, checkpoint: 0s, anchors: [{file: b}]}", 1), []string{"audit.key_before", "audit.anchors: there are no checkpoints", "audit.checkpoint"}},
		{"retention without a key", strings.Replace(good, "audit: {dir: audit}", "audit: {dir: audit, keep: 400d}", 1), []string{"audit.keep: takes audit.key"}},
		{"no time to keep records for", strings.Replace(good, "audit: {dir: audit}", "audit: {dir: audit, keep: 0d}", 1), []string{`"0d" is not a time like 400d`}},
		{"contents sealed with nothing", strings.Replace(good, "audit: {dir: audit}", "audit: {dir: audit, sealed: {what: [words], keep: 90d}}", 1), []string{"audit.sealed: takes keys", `audit.sealed.what: "words" is not one of`}},
		{"a bad table", strings.Replace(good, "audit: {dir: audit}", "audit: {dir: audit, table: {keep: -1, batch: 1, every: 1ns, auditors: [''], name: "+strings.Repeat("x", 201)+"}}", 1), []string{"audit.table.keep: -1", "audit.table.batch", "audit.table.every", "audit.table.auditors", "audit.table.name"}},
		{"a table with more", strings.Replace(good, "audit: {dir: audit}", "audit: {dir: audit, table: {keeep: 1}}", 1), []string{"keeep"}},
		{"bad anchors", strings.Replace(good, "audit: {dir: audit}", "audit: {dir: audit, key: a, origin: o, anchors: [{}, {file: b, http: 'http://x/'}, {http: 'ftp://x/'}, {file: b, token: t}]}", 1), []string{"each has one of file, http, syslog and postgres", `"ftp://x/" is not`, "token goes with http"}},
		{"bad words", strings.NewReplacer("scram", "guess", "audit: {dir: audit}", "audit: {dir: audit, durability: maybe}").Replace(good), []string{`auth.method: "guess" is not one of scram, passthrough, trust`, "audit.durability"}},
		{"a bad address", strings.Replace(good, "127.0.0.1:6432", "localhost", 1), []string{"listen: "}},
		{"half a certificate", strings.Replace(good, ", key: server.key", "", 1), []string{"tls.key: is missing"}},
		{"a bad list of hosts", strings.Replace(good, "db.example", "'a:5432, b:port'", 1), []string{`server.host: "b:port" is not a host and its port`}},
		{"an empty host", strings.Replace(good, "db.example", "'a,,b'", 1), []string{"server.host: an empty name"}},
		{"no host in a list", strings.Replace(good, "db.example", "[]", 1), []string{"server.host: is missing"}},
		{"hosts that are no names", strings.Replace(good, "db.example", "{a: b}", 1), []string{"pgveil.yaml"}},
		{"an address in half brackets", strings.Replace(good, "db.example", "'[::1'", 1), []string{"server.host: "}},
		{"bad words about hosts", strings.Replace(good, "ca: root.crt", "target_session_attrs: master, load_balance: yes, connect_timeout: 0s, keep_after: -1", 1), []string{`server.target_session_attrs: "master" is not one of any, read-write`, "server.load_balance", "server.connect_timeout: must be positive", "server.keep_after: must not be negative"}},
		{"a certificate without its key", strings.Replace(good, "ca: root.crt", "cert: pgveil.crt", 1), []string{"server.cert: and server.key go together"}},
		{"direct TLS without TLS", strings.Replace(good, "ca: root.crt", "tls: disable, tls_direct: true", 1), []string{"server.tls: disable leaves no use for tls_direct and cert"}},
		{"clients' certificates of nobody", strings.Replace(good, "key: server.key", "key: server.key, client_certs: verify-full", 1), []string{"tls.client_ca: is missing"}},
		{"an authority and no demand", strings.Replace(good, "key: server.key", "key: server.key, client_ca: ca.crt", 1), []string{"tls.client_certs: is missing"}},
		{"a demand that is none", strings.Replace(good, "key: server.key", "key: server.key, client_ca: ca.crt, client_certs: require", 1), []string{`tls.client_certs: "require" is not one of`}},
		{"certificates in clear", strings.Replace(good, "key: server.key", "key: server.key, client_ca: ca.crt, client_certs: verify-ca, optional: true", 1), []string{"tls.client_certs: verify-ca asks nothing of connections in clear"}},
		{"a socket without a name", strings.Replace(good, "unix:/run/pgveil.sock", "unix:", 1), []string{`listen: "unix:" names no socket`}},
		{"a socket with a long name", strings.Replace(good, "unix:/run/pgveil.sock", "unix:/"+strings.Repeat("x", 107), 1), []string{"longer than the 107 bytes"}},
		{"a mode in decimal", good + "socket_mode: 0789\n", []string{`socket_mode: "0789" is not a mode`}},
		{"a mode with more than permissions", good + "socket_mode: 01777\n", []string{"socket_mode"}},
		{"fewer loops than none", strings.Replace(good, "loops: 3", "loops: -1", 1), []string{"limits.loops: -1 is not a number from 0"}},
		{"too many loops", strings.Replace(good, "loops: 3", "loops: 1025", 1), []string{"limits.loops: 1025 is not"}},
		{"codes behind passwords that nobody sees", strings.Replace(good, "method: scram", "method: scram, appended_code: true", 1), []string{"auth.appended_code: only passthrough"}},
		{"tokens in clear", good + "api: {listen: \"10.0.0.1:6480\", tokens_file: tokens}\n", []string{"api.listen: 10.0.0.1:6480 is not on the loopback"}},
		{"tokens in clear, everywhere", good + "api: {listen: \":6480\", tokens_file: tokens}\n", []string{"api.listen: :6480 is not on the loopback"}},
		{"certificates in clear", good + "api: {listen: \"127.0.0.1:6480\", client_ca: x}\n", []string{"api.client_ca: has no meaning without api.cert"}},
		{"certificates of nobody", good + "api: {listen: \"127.0.0.1:6480\", cert: x, key: x, client_ca: x, cert_users: }\n", []string{"api.cert_users: is empty"}},
		{"certificates that nobody signs", good + "api: {listen: \"127.0.0.1:6480\", tokens_file: x, crl: x, cert_users: [{match: \"nn:x\"}]}\n",
			[]string{"api.crl: has no meaning", "api.cert_users: has no meaning", "api.cert_users[0].match", "api.cert_users[0].user: is missing"}},
		{"an api for nobody", good + "api: {listen: \"127.0.0.1:6480\", cert: x}\n", []string{"api.tokens_file: is missing", "api.cert: and api.key go together"}},
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

func TestHosts(t *testing.T) {
	for _, tt := range []struct {
		host string // as YAML
		want []Host
	}{
		{"db.example", []Host{{"db.example", 5432}}},
		{"db.example:5433", []Host{{"db.example", 5433}}},
		{"'a, b:5433 ,c'", []Host{{"a", 5432}, {"b", 5433}, {"c", 5432}}},
		{"[a, 'b:5433']", []Host{{"a", 5432}, {"b", 5433}}},
		{"10.0.0.1:5433", []Host{{"10.0.0.1", 5433}}},
		{"'::1'", []Host{{"::1", 5432}}},
		{"'[::1]'", []Host{{"::1", 5432}}},
		{"'[::1]:5433,fe80::1'", []Host{{"::1", 5433}, {"fe80::1", 5432}}},
		{"/run/postgresql", []Host{{"/run/postgresql", 5432}}},
		{"'/run/postgresql:5433'", []Host{{"/run/postgresql", 5433}}},
	} {
		c, err := Load(write(t, strings.Replace(good, "host: db.example", "host: "+tt.host, 1)))
		if err != nil {
			t.Errorf("host: %s: %v", tt.host, err)
			continue
		}
		if got, err := c.Server.Hosts(); err != nil || !slices.Equal(got, tt.want) {
			t.Errorf("host: %s is %v, %v, want %v", tt.host, got, err, tt.want)
		}
	}
	if got := (Host{"/run/postgresql", 5433}).Socket(); got != "/run/postgresql/.s.PGSQL.5433" {
		t.Errorf("socket %q", got)
	}
}

func TestSockets(t *testing.T) {
	path := write(t, strings.Replace(good, "unix:/run/pgveil.sock", `unix:pgveil.sock", "unix:@pgveil", "[::1]:6432`, 1)+"socket_mode: 0770\n")
	c, err := Load(path)
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"127.0.0.1:6432", "unix:" + filepath.Join(filepath.Dir(path), "pgveil.sock"), "unix:@pgveil", "[::1]:6432"}
	if !slices.Equal(c.Listen, want) {
		t.Errorf("listen on %q, want %q", c.Listen, want)
	}
	if mode, err := c.SocketMode(); err != nil || mode != 0o770 {
		t.Errorf("mode %v, %v", mode, err)
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
