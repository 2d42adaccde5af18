package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
)

// goModule is a module whose tests use PostgreSQL.
type goModule struct{ path, version string }

// test runs the tests of all packages of the module, with its own go.mod and
// go.sum, so by the versions that it is tested with at home.
func (m goModule) test(ctx context.Context, st *stage, env ...string) (results, error) {
	dir, err := m.copy(ctx, st)
	if err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(ctx, "go", "test", "-json", "-count=1", "-p=1", "./...")
	cmd.Dir, cmd.Env = dir, append(foreignEnv(), env...)
	cmd.Env = append(cmd.Env, "GOFLAGS=-mod=mod", "GOWORK=off")
	log, err := st.output(cmd, "log.json", true)
	if err != nil {
		return nil, err
	}
	return parseGoTest(log, m.path)
}

// copy gives a folder with the module's files that its tests may write to.
func (m goModule) copy(ctx context.Context, st *stage) (string, error) {
	cmd := exec.CommandContext(ctx, "go", "mod", "download", "-json", m.path+"@"+m.version)
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("fetching %s: %w\n%s", m.path, err, out)
	}
	var module struct{ Dir string }
	if err := json.Unmarshal(out, &module); err != nil {
		return "", fmt.Errorf("fetching %s: %w", m.path, err)
	}
	dir := filepath.Join(st.dir, "module")
	if err := os.CopyFS(dir, os.DirFS(module.Dir)); err != nil {
		return "", fmt.Errorf("copying %s: %w", m.path, err)
	}
	return dir, nil
}

// foreignEnv is this process's environment without what steers clients of
// PostgreSQL, which tests of their configuration would find.
func foreignEnv() []string {
	var env []string
	for _, v := range os.Environ() {
		if !strings.HasPrefix(v, "PG") {
			env = append(env, v)
		}
	}
	return env
}

// temporary is a folder of the moment, which some tests are named after.
var temporary = regexp.MustCompile(regexp.QuoteMeta(os.TempDir()) + "/[^/]+")

// parseGoTest reads what go test -json prints. A package is a test too: one
// that does not build, or that panics, has no others.
func parseGoTest(log, module string) (results, error) {
	r := results{}
	d := json.NewDecoder(strings.NewReader(log))
	for d.More() {
		var e struct{ Action, Package, Test string }
		if err := d.Decode(&e); err != nil {
			return nil, fmt.Errorf("reading what go test says: %w", err)
		}
		name := path.Join(".", strings.TrimPrefix(e.Package, module))
		if e.Test != "" {
			name = path.Join(name, temporary.ReplaceAllString(e.Test, "TMP"))
		}
		switch e.Action {
		case "pass", "fail", "skip":
			r[name] = outcome{status: e.Action}
		}
	}
	return r, nil
}

// pgx5 runs the tests of pgx, which is told of each way to log in by a
// connection string of its own.
func pgx5(ctx context.Context, st *stage) (results, error) {
	as := func(user, password string) string {
		return fmt.Sprintf("host=127.0.0.1 port=%d user=%s password=%s dbname=%s sslmode=verify-full sslrootcert=%s",
			st.port(), user, password, st.suite.database, st.server.CAFile())
	}
	super := as("postgres", st.server.Password())
	return goModule{"github.com/jackc/pgx/v5", "v5.12.0"}.test(ctx, st,
		"PGX_TEST_DATABASE="+super, "PGX_TEST_TCP_CONN_STRING="+super,
		"PGX_TEST_TLS_CONN_STRING="+as("pgx_ssl", "secret"),
		"PGX_TEST_SCRAM_PASSWORD_CONN_STRING="+as("pgx_scram", "secret"),
		"PGX_TEST_SCRAM_PLUS_CONN_STRING="+as("pgx_scram", "secret")+" channel_binding=require",
	)
}

const pgx5Setup = `
CREATE EXTENSION hstore;
CREATE EXTENSION ltree;
CREATE DOMAIN uint64 AS numeric(20,0);
CREATE USER pgx_ssl WITH SUPERUSER PASSWORD 'secret';
CREATE USER pgx_scram WITH SUPERUSER PASSWORD 'secret';
CREATE USER " tricky, ' } "" \\ test user " SUPERUSER PASSWORD 'secret';
`

// pq runs the tests of lib/pq, which go by names of their own if not told
// otherwise, and which find it if they are.
func pq(ctx context.Context, st *stage) (results, error) {
	return goModule{"github.com/lib/pq", "v1.12.3"}.test(ctx, st, "PGPORT="+strconv.Itoa(st.port()))
}
