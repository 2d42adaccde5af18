package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/pgveil/pgveil/internal/pgserver"
	"github.com/pgveil/pgveil/internal/pgtest"
)

// leaky is a server as it is often found: what everybody may, a login of
// somebody's, a group, a dump user that is known, and statements in the log.
const leaky = `
CREATE ROLE pgveil LOGIN PASSWORD 'pgveil-password' BYPASSRLS; GRANT SELECT ON pg_authid TO pgveil; GRANT CREATE ON DATABASE shop TO pgveil;
CREATE ROLE alice LOGIN PASSWORD 'alice-password' CREATEDB;
CREATE ROLE mallory LOGIN PASSWORD 'mallory-password';
CREATE ROLE backup LOGIN PASSWORD 'backup-password';
CREATE ROLE "Report ""x""" LOGIN PASSWORD 'report-password';
CREATE ROLE readers;
GRANT readers TO mallory;
GRANT pg_read_server_files TO alice; GRANT pg_read_all_data TO backup; GRANT pg_write_all_data TO "Report ""x""";
CREATE TABLE public.people (id int PRIMARY KEY, name text NOT NULL);
CREATE TABLE public."odd; DROP TABLE x --
" (id int);
CREATE TABLE public.visits (id int, person int);
INSERT INTO public.people VALUES (1, 'Ada');
GRANT SELECT ON public.people TO PUBLIC; GRANT INSERT ON public.people TO alice; GRANT SELECT ON public.visits TO readers; GRANT ALL ON public."odd; DROP TABLE x --
" TO "Report ""x""";
GRANT SELECT (id) ON public.visits TO mallory;
GRANT CREATE ON SCHEMA public TO PUBLIC;
ALTER DEFAULT PRIVILEGES GRANT SELECT ON TABLES TO PUBLIC;
GRANT EXECUTE ON FUNCTION pg_read_file(text) TO mallory;
CREATE FUNCTION public.names() RETURNS SETOF text LANGUAGE sql SECURITY DEFINER AS 'SELECT name FROM public.people';
CREATE PUBLICATION everything FOR ALL TABLES;
ALTER DATABASE shop SET log_statement = 'all'`

// newLeaky starts that server, with pgveil's configuration for it.
func newLeaky(t *testing.T) (*pgserver.Server, *site, *pgx.Conn) {
	t.Helper()
	server := newServerOf(t, "")
	admin := pgtest.Connect(t, server.DSN("postgres", pgserver.Superuser))
	if _, err := admin.Exec(t.Context(), "CREATE DATABASE shop"); err != nil {
		t.Fatal(err)
	}
	shop := pgtest.Connect(t, server.DSN("shop", pgserver.Superuser))
	if _, err := shop.PgConn().Exec(t.Context(), leaky).ReadAll(); err != nil {
		t.Fatal(err)
	}
	s := &site{server: server, database: "shop", dir: t.TempDir()}
	s.put(t, "key", strings.Repeat("0f", 32))
	s.put(t, "password", "pgveil-password\n")
	s.put(t, "policy.yaml", `version: 1
purposes: {desk: {basis: contract}}
classes: {open: ["public.*.*"]}
roles: {clerk: {purposes: [desk], tables: [{on: [public.people], do: [select, insert]}]}}
users: {alice: {roles: [clerk]}}
`)
	s.put(t, "pgveil.yaml", fmt.Sprintf(`listen: ["127.0.0.1:0"]
server: {host: 127.0.0.1, port: %d, tls: disable, login: pgveil, password_file: password}
database: shop
policy: policy.yaml
key: key
audit: {dir: audit}
side_doors: {every: 1s, allow: [{users: [backup], from: [all]}]}
`, server.Port()))
	return server, s, shop
}

// newServerOf starts a server whose pg_hba.conf begins with some lines, and lets
// everybody in by password behind them.
func newServerOf(t *testing.T, first string) *pgserver.Server {
	t.Helper()
	dir := t.TempDir()
	hba := filepath.Join(dir, "hba.conf")
	if err := errors.Join(os.WriteFile(hba, []byte(first+"local all postgres trust\nlocal all all scram-sha-256\nhost all all all scram-sha-256\n"), 0o644), os.Chmod(dir, 0o755), os.Chmod(filepath.Dir(dir), 0o755)); err != nil {
		t.Fatal(err)
	}
	s, err := pgserver.Start(t.Context(), pgserver.Options{BinDir: os.Getenv(pgtest.EnvBin), FastUnsafe: true, Settings: map[string]string{"hba_file": hba, "listen_addresses": "127.0.0.1,::1"}})
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

// findings gives what is found, by check and object.
func (s *site) findings(t *testing.T, args ...string) map[string]string {
	t.Helper()
	var list struct {
		Findings []struct{ ID, Object, Severity string }
	}
	if err := json.Unmarshal([]byte(s.verb(t, 0, append([]string{"harden", "--json"}, args...)...)), &list); err != nil {
		t.Fatal(err)
	}
	found := map[string]string{}
	for _, f := range list.Findings {
		found[f.ID+" "+f.Object] = f.Severity
	}
	return found
}

// TestHarden closes what is open, and then tries every way: alice can do through
// pgveil all that she could, and nobody gets around it.
func TestHarden(t *testing.T) {
	server, s, shop := newLeaky(t)
	s.verb(t, 0, "schema", "--apply")
	admin := "--admin-url=" + server.DSN("shop", pgserver.Superuser)
	before := s.findings(t, admin)
	for want, severity := range map[string]string{
		"connect-public shop": "open", "tables-public public.people": "open", "groups-others mallory in readers": "open", "login-attributes alice": "open",
		"member-of-files alice in pg_read_server_files": "open", `member-of-all-data Report "x" in pg_write_all_data`: "open",
		`tables-others Report "x"`: "open", "columns-others mallory on public.visits": "open", "default-privileges postgres": "open",
		"functions-files pg_read_file(text)": "open", "schema-create public": "weak", "definer-function public.names()": "weak", "own-blind pgveil": "weak",
		"server-log log_statement": "weak", "server-log log_min_error_statement": "weak", "publication everything": "note", "hba-line line 3": "open",
	} {
		if before[want] != severity {
			t.Errorf("%s is %q, want %q, of %v", want, before[want], severity, before)
		}
	}
	for f := range before {
		if strings.Contains(f, "backup") {
			t.Errorf("backup is known, and there is %s", f)
		}
	}
	s.verb(t, 1, "harden", admin, "--check")
	if said := s.verb(t, 1, "harden", admin, "--apply"); !strings.Contains(said, "nothing was changed") { // its input is at its end
		t.Errorf("without a yes: %s", said)
	}
	if now := s.findings(t, admin); len(now) != len(before) {
		t.Errorf("without a yes there are %d findings, and were %d", len(now), len(before))
	}
	script := s.verb(t, 0, "harden", admin)
	s.verb(t, 0, "harden", admin, "--apply", "--yes")
	if _, err := shop.Exec(t.Context(), strings.ReplaceAll(script, "\\set ON_ERROR_STOP on\n", ""), pgx.QueryExecModeSimpleProtocol); err != nil {
		t.Errorf("the script does not run again: %v\n%s", err, script)
	}
	s.closeHBA(t, server, shop)
	left := s.findings(t, admin)
	for f, severity := range left {
		if severity == "open" {
			t.Errorf("%s is still open", f)
		}
	}
	s.verb(t, 0, "harden", admin, "--check")
	s.tryAll(t, server)
}

// closeHBA puts the lines that harden prints before all others.
func (s *site) closeHBA(t *testing.T, server *pgserver.Server, admin *pgx.Conn) {
	t.Helper()
	var path string
	if err := admin.QueryRow(t.Context(), "SHOW hba_file").Scan(&path); err != nil {
		t.Fatal(err)
	}
	old, err := os.ReadFile(path)
	if err == nil {
		err = os.WriteFile(path, append([]byte(s.verb(t, 0, "harden", "--hba")), old...), 0o644)
	}
	if err != nil {
		t.Fatal(err)
	}
	if _, err := admin.Exec(t.Context(), "SELECT pg_reload_conf()"); err != nil {
		t.Fatal(err)
	}
	for in := true; in; {
		c, err := pgx.Connect(t.Context(), around(server, "alice", "[::1]"))
		if in = err == nil; in {
			if err := c.Close(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// around is how a login reaches the server from where pgveil is not.
func around(server *pgserver.Server, login, host string) string {
	return fmt.Sprintf("postgres://%s:%s-password@%s:%d/shop?sslmode=disable", login, login, host, server.Port())
}

func (s *site) tryAll(t *testing.T, server *pgserver.Server) {
	t.Helper()
	for _, tt := range []struct {
		login, host string
		in          bool
	}{
		{"alice", "[::1]", false}, {"mallory", "[::1]", false}, {"mallory", "127.0.0.1", false}, {"backup", "[::1]", true}, {"pgveil", "[::1]", false},
	} {
		c, err := pgx.Connect(t.Context(), around(server, tt.login, tt.host))
		if (err == nil) != tt.in {
			t.Errorf("%s from %s: %v, want in: %t", tt.login, tt.host, err, tt.in)
		}
		if err == nil {
			if err := c.Close(t.Context()); err != nil {
				t.Error(err)
			}
		}
	}
	r := s.serve(t, "")
	c, err := s.connect(t.Context(), r.address(t, listens), "alice")
	if err != nil {
		t.Fatal(err)
	}
	var name string
	if err := c.QueryRow(t.Context(), "INSERT INTO people VALUES (2, 'Bob') RETURNING (SELECT name FROM people WHERE id = 1)").Scan(&name); err != nil || name != "Ada" {
		t.Errorf("through pgveil alice gets %q, %v", name, err)
	}
	if err := c.Close(t.Context()); err != nil {
		t.Error(err)
	}
	r.stop(t)
}

// TestHardenTakesBack has alice read by a group that somebody else is taken out
// of, and she is a member of: nothing is changed.
func TestHardenTakesBack(t *testing.T) {
	server, s, shop := newLeaky(t)
	if _, err := shop.Exec(t.Context(), "GRANT mallory TO alice"); err != nil {
		t.Fatal(err)
	}
	said := s.verb(t, 1, "harden", "--admin-url="+server.DSN("shop", pgserver.Superuser), "--apply", "--yes")
	if !strings.Contains(said, "nothing was changed: it would take away: ") || !strings.Contains(said, "alice may SELECT on public.visits") {
		t.Errorf("it says %s", said)
	}
	var open bool
	if err := shop.QueryRow(t.Context(), "SELECT has_database_privilege('mallory', 'shop', 'CONNECT')").Scan(&open); err != nil || !open {
		t.Errorf("something was changed: %v", err)
	}
	// What is in the way is left as it is, and the rest is done.
	s.verb(t, 0, "harden", "--admin-url="+server.DSN("shop", pgserver.Superuser), "--apply", "--yes", "--accept", "groups-others", "--accept", "columns-others")
	if err := shop.QueryRow(t.Context(), "SELECT has_database_privilege('mallory', 'shop', 'CONNECT')").Scan(&open); err != nil || open {
		t.Errorf("mallory may still connect: %v", err)
	}
}

// TestHardenAsItself has pgveil's own login look, which sees less and says so, and
// asks where it comes from.
func TestHardenAsItself(t *testing.T) {
	_, s, _ := newLeaky(t)
	found := s.findings(t)
	if found["hba-line not seen"] != "weak" || found["connect-public shop"] != "open" {
		t.Errorf("found are %v", found)
	}
	if lines := s.verb(t, 0, "harden", "--hba"); !strings.Contains(lines, `host    "shop" "alice","pgveil" 127.0.0.1/32 scram-sha-256`) {
		t.Errorf("the lines are\n%s", lines)
	}
	s.verb(t, 2, "harden", "--yes")
	s.verb(t, 2, "harden", "--proxy", "somewhere")
}
