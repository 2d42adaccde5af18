package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pgveil/pgveil/internal/pgserver"
	"github.com/pgveil/pgveil/internal/veil"
)

// configuration is a pgveil as one would run it, with TLS on both sides and
// mostly SCRAM.
const configuration = `listen: ["127.0.0.1:0"]
database: %[1]s
policy: policy.yaml
tls: {cert: %[2]s/server.crt, key: %[2]s/server.key, optional: true}
server: {host: 127.0.0.1, port: %[3]d, tls: %[6]s, ca: %[2]s/ca.crt, login: %[4]s, password_file: password}
auth: {method: %[5]s, guard: {off: true}}
audit: {dir: audit, durability: relaxed}
key: key
log: {format: json}
`

// usual are the settings that suites expect of a server, where pgserver's own
// for tests are others.
var usual = map[string]string{
	"autovacuum":                "on",
	"shared_buffers":            "128MB",
	"synchronous_commit":        "on",
	"max_prepared_transactions": "10",
}

// trustful is the pg_hba.conf of a server that asks nobody for a password.
const trustful = "local all all trust\nhost all all 127.0.0.1/32 trust\n"

// stage is a server for one run of a suite, with pgveil before it unless the
// run is direct.
type stage struct {
	*runner
	suite  suite
	server *pgserver.Server // nil while it is not started
	veil   *veil.Veil       // nil in a direct run
	dir    string           // for the run's files; the server's user owns it
	keep   string           // where results are kept
}

func (r *runner) newStage(ctx context.Context, s suite, way, keep string) (*stage, error) {
	dir, err := os.MkdirTemp("", "pgveil-suite-")
	if err != nil {
		return nil, err
	}
	st := &stage{runner: r, suite: s, dir: dir, keep: keep}
	if err := st.start(ctx, way); err != nil {
		return nil, errors.Join(err, st.close())
	}
	return st, nil
}

// start starts the server, makes the suite's database, and starts pgveil if
// that is the way.
func (st *stage) start(ctx context.Context, way string) (err error) {
	settings := maps.Clone(usual)
	if st.suite.trust {
		settings["hba_file"] = filepath.Join(st.dir, "pg_hba.conf")
		if err := errors.Join(os.WriteFile(settings["hba_file"], []byte(trustful), 0o644), os.Chmod(st.dir, 0o755)); err != nil {
			return err
		}
	}
	if st.server, err = pgserver.Start(ctx, pgserver.Options{FastUnsafe: true, TLS: true, Settings: settings}); err != nil {
		return err
	}
	if err := st.server.Own(st.dir); err != nil {
		return err
	}
	if err := st.exec(ctx, "postgres", "CREATE DATABASE "+st.suite.database+" TEMPLATE template0"); err != nil {
		return err
	}
	if err := st.exec(ctx, st.suite.database, st.suite.setup); err != nil {
		return err
	}
	if way != "direct" {
		st.veil, err = st.startVeil(ctx)
	}
	return err
}

// startVeil starts pgveil with a policy that restricts nobody.
func (st *stage) startVeil(ctx context.Context) (*veil.Veil, error) {
	dir := filepath.Join(st.dir, "pgveil")
	method, mode := "scram", "verify-full"
	if st.suite.trust {
		method = "trust"
	}
	if st.suite.clear {
		mode = "disable"
	}
	policy := "version: 1\nmode: enforce\nroles: {dba: {unrestricted: true}}\nusers:\n"
	for _, user := range append([]string{pgserver.Superuser}, st.suite.users...) {
		policy += fmt.Sprintf("  %q: {roles: [dba]}\n", user)
	}
	certs := filepath.Dir(st.server.CAFile())
	err := os.Mkdir(dir, 0o700)
	for name, text := range map[string]string{
		"pgveil.yaml": fmt.Sprintf(configuration, st.suite.database, certs, st.server.Port(), pgserver.Superuser, method, mode),
		"policy.yaml": policy,
		"key":         strings.Repeat("5e", 32),
		"password":    st.server.Password(),
	} {
		err = errors.Join(err, os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600))
	}
	if err != nil {
		return nil, err
	}
	return veil.Start(ctx, st.pgveil, dir)
}

func (st *stage) close() error {
	var err error
	if st.veil != nil {
		err = st.veil.Stop()
	}
	if st.server != nil {
		err = errors.Join(err, st.server.Stop())
	}
	return errors.Join(err, os.RemoveAll(st.dir))
}

// port gives the port that the suite's clients connect to.
func (st *stage) port() int {
	if st.veil != nil {
		return st.veil.Port()
	}
	return st.server.Port()
}

// exec runs statements as the superuser, past pgveil.
func (st *stage) exec(ctx context.Context, database, sql string) error {
	conn, err := pgx.Connect(ctx, st.server.DSN(database, pgserver.Superuser))
	if err != nil {
		return err
	}
	_, err = conn.PgConn().Exec(ctx, sql).ReadAll()
	return errors.Join(err, conn.Close(ctx))
}

// env says to libpq, and to those that read what it reads, where to connect.
func (st *stage) env() []string {
	mode := "verify-full"
	if st.suite.clear {
		mode = "disable"
	}
	return []string{
		"PGHOST=127.0.0.1", "PGPORT=" + strconv.Itoa(st.port()), "PGDATABASE=" + st.suite.database,
		"PGUSER=" + pgserver.Superuser, "PGPASSWORD=" + st.server.Password(), "PGPASSFILE=/dev/null",
		"PGSSLMODE=" + mode, "PGSSLROOTCERT=" + st.server.CAFile(), "HOME=" + st.dir, "TZ=UTC",
	}
}

// output runs a program, keeps what it prints as a file of the name among the
// results, and gives it. A program that ends with another status than 0 is no
// error if it is one that says so of tests that failed.
func (st *stage) output(cmd *exec.Cmd, name string, mayFail bool) (string, error) {
	var out bytes.Buffer
	cmd.Stdout = &out
	if cmd.Stderr == nil {
		cmd.Stderr = &out
	}
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	cmd.SysProcAttr.Setpgid = true // a test runner is not all there is to end
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = 10 * time.Second
	err := cmd.Run()
	if err := os.WriteFile(filepath.Join(st.keep, name), out.Bytes(), 0o644); err != nil {
		return "", err
	}
	if failed := new(exec.ExitError); errors.As(err, &failed) && failed.Exited() && mayFail {
		err = nil
	}
	if err != nil {
		return "", fmt.Errorf("%s: %w\n%s", filepath.Base(cmd.Path), err, out.Bytes()[max(0, out.Len()-2000):])
	}
	return out.String(), nil
}

// source gives the folder of the source package, which is fetched at its first
// use.
func (st *stage) source(ctx context.Context, name string) (string, error) {
	cmd := exec.CommandContext(ctx, filepath.Join(st.root, ".ci", "source"), name)
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("fetching the source of %s: %w", name, err)
	}
	return strings.TrimSpace(string(out)), nil
}
