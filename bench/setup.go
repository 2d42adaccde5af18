package main

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pgveil/pgveil/catalog/pgload"
	"github.com/pgveil/pgveil/internal/pgserver"
	"github.com/pgveil/pgveil/policy"
	"github.com/pgveil/pgveil/rewrite"
)

const (
	database        = "bench"
	plainLogin      = "plain"
	restrictedLogin = "restricted"
	password        = "bench" // of both, on a server that lives as long as the run
)

//go:embed policy.yaml
var policyText string

// bench is one run: a server with its data, and who contends.
type bench struct {
	o          *options
	progress   io.Writer
	began      time.Time
	dir        string // whatever the run writes, removed at its end
	server     *pgserver.Server
	store      *pgserver.Server // of data keys; nil until somebody needs it
	contenders []*contender
	absent     []string // programs that are not there
	verifiers  map[string]string
	engine     *rewrite.Engine // says what pgveil makes of a statement
	tls        bool            // the workload that runs is under TLS
	profiles   []string        // files of pprof
	keyed      bool            // the keys of sealed columns are made
	filled     bool            // the tables of sealed columns, and their twins, have rows
	shredded   bool            // that of values with data keys has rows

	pgbenchPath, pgveil string
}

// say writes a line of progress.
func (b *bench) say(format string, args ...any) {
	fmt.Fprintf(b.progress, "%6.1fs  %s\n", time.Since(b.began).Seconds(), fmt.Sprintf(format, args...))
}

// setUp makes everything that workloads need. tearDown must be called, also
// after an error.
func (b *bench) setUp(ctx context.Context) (err error) {
	if b.dir, err = os.MkdirTemp("", "pgveil-bench-"); err != nil {
		return err
	}
	if err := os.Chmod(b.dir, 0o755); err != nil {
		return err
	}
	for _, step := range []func(context.Context) error{b.findPrograms, b.raiseLimits, b.build, b.startServer, b.load, b.plan, b.writeScripts} {
		if err := step(ctx); err != nil {
			return err
		}
	}
	return nil
}

func (b *bench) tearDown() error {
	var errs []error
	for _, s := range []*pgserver.Server{b.server, b.store} {
		if s != nil {
			errs = append(errs, s.Stop())
		}
	}
	if b.dir != "" {
		errs = append(errs, os.RemoveAll(b.dir))
	}
	return errors.Join(errs...)
}

// findPrograms finds pgbench and the contenders, and installs what is missing
// when it may.
func (b *bench) findPrograms(ctx context.Context) error {
	bin, binErr := pgserver.Find()
	_, lacking := missing(b.o.contenders())
	if b.o.install {
		packages := lacking
		if binErr != nil || findPgbench(bin) == "" {
			packages = append(packages, "postgresql", "postgresql-contrib")
		}
		if len(packages) > 0 {
			b.say("installing %s", strings.Join(packages, ", "))
			if err := install(ctx, b, packages); err != nil {
				return err
			}
			bin, binErr = pgserver.Find()
		}
	}
	if binErr != nil {
		return binErr
	}
	if b.pgbenchPath = findPgbench(bin); b.pgbenchPath == "" {
		return errors.New("no pgbench found: install postgresql-contrib, or run with --install")
	}
	b.contenders, b.absent = missing(b.o.contenders())
	for _, name := range b.absent {
		b.say("*** %s IS NOT INSTALLED AND IS LEFT OUT: there will be no comparison with it (--install installs it) ***", name)
	}
	return nil
}

func findPgbench(bin string) string {
	if path, err := exec.LookPath(filepath.Join(bin, "pgbench")); bin != "" && err == nil {
		return path
	}
	return findProgram("pgbench")
}

// raiseLimits lets us, and the contenders after us, have as many files open as
// the system allows: a proxied session takes two.
func (b *bench) raiseLimits(context.Context) error {
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return err
	}
	if need := uint64(2*b.maxSessions() + 100); limit.Max < need {
		return fmt.Errorf("%d idle sessions need %d open files, the system allows %d: raise it (ulimit -Hn) or choose fewer (--idle)", b.o.idle, need, limit.Max)
	}
	// Set by this call, the limit is one that children inherit.
	limit.Cur = limit.Max
	return syscall.Setrlimit(syscall.RLIMIT_NOFILE, &limit)
}

// build builds pgveil from the tree that the program was started in.
func (b *bench) build(ctx context.Context) error {
	if b.o.pgveil != "" {
		return nil
	}
	b.say("building pgveil")
	b.pgveil = filepath.Join(b.dir, "pgveil")
	out, err := exec.CommandContext(ctx, "go", "build", "-o", b.pgveil, "github.com/pgveil/pgveil/cmd/pgveil").CombinedOutput()
	if err != nil {
		return fmt.Errorf("build pgveil: %w\n%s", err, out)
	}
	return nil
}

// hba lets clients in by SCRAM everywhere: the server's socket too, so that a
// login costs what it costs by the network.
const hba = "local all postgres trust\nlocal all all scram-sha-256\nhost all all 127.0.0.1/32 scram-sha-256\n"

func (b *bench) startServer(ctx context.Context) (err error) {
	b.say("starting PostgreSQL")
	if err := writeFiles(b.dir, 0o644, map[string]string{"pg_hba.conf": hba}); err != nil {
		return err
	}
	b.server, err = pgserver.Start(ctx, pgserver.Options{TLS: true, Settings: map[string]string{
		"hba_file":           filepath.Join(b.dir, "pg_hba.conf"),
		"shared_buffers":     "256MB",
		"fsync":              "on",
		"synchronous_commit": "on",
		"max_connections":    strconv.Itoa(b.maxSessions() + 100),
		"max_wal_size":       "4GB", // no checkpoint amid a run
		"checkpoint_timeout": "1h",
		"autovacuum":         "off", // nor a worker
		"jit":                "off", // nor a compiler
	}})
	return err
}

// schema makes the logins and the table that streams.
const schema = `
CREATE ROLE plain LOGIN PASSWORD '` + password + `';
CREATE ROLE restricted LOGIN PASSWORD '` + password + `';
CREATE TABLE customers (id bigint PRIMARY KEY, branch int NOT NULL, region text NOT NULL, since date NOT NULL,
	last_name text NOT NULL, email text NOT NULL, phone text NOT NULL, birth_date date NOT NULL, about text NOT NULL);
INSERT INTO customers SELECT n, mod(n, 100), (ARRAY['EU', 'US', 'APAC'])[mod(n, 3) + 1], date '2015-01-01' + mod(n, 4000),
	'Lovelace' || mod(n, 1000), 'customer' || n || '@example.com', '+49 30 ' || 1000000 + n, date '1950-01-01' + mod(n, 20000),
	'prefers letters to calls, account ' || n
	FROM generate_series(1, %d) n;
CREATE UNLOGGED TABLE incoming (id bigint, branch int, region text, about text);` + vaultSchema + `
GRANT ALL ON ALL TABLES IN SCHEMA public TO plain, restricted;
VACUUM ANALYZE`

// load fills the database: pgbench's tables, then ours.
func (b *bench) load(ctx context.Context) error {
	b.say("loading pgbench's tables (scale %d) and %d customers", b.o.scale, b.o.rows)
	admin, err := pgx.Connect(ctx, b.server.DSN("postgres", pgserver.Superuser))
	if err != nil {
		return err
	}
	_, err = admin.Exec(ctx, "CREATE DATABASE "+database)
	if err := errors.Join(err, admin.Close(ctx)); err != nil {
		return err
	}
	fill := exec.CommandContext(ctx, b.pgbenchPath, "-i", "-q", "-s", strconv.Itoa(b.o.scale), b.server.DSN(database, pgserver.Superuser))
	if out, err := fill.CombinedOutput(); err != nil {
		return fmt.Errorf("pgbench -i: %w\n%s", err, out)
	}
	conn, err := pgx.Connect(ctx, b.server.DSN(database, pgserver.Superuser))
	if err != nil {
		return err
	}
	defer conn.Close(ctx)
	for _, stmt := range strings.Split(fmt.Sprintf(schema, b.o.rows), ";\n") {
		if _, err := conn.Exec(ctx, stmt); err != nil {
			return fmt.Errorf("load: %w", err)
		}
	}
	return b.readVerifiers(ctx, conn)
}

func (b *bench) readVerifiers(ctx context.Context, conn *pgx.Conn) error {
	rows, err := conn.Query(ctx, "SELECT rolname, rolpassword FROM pg_authid WHERE rolname IN ($1, $2)", plainLogin, restrictedLogin)
	if err != nil {
		return err
	}
	b.verifiers = map[string]string{}
	var login, verifier string
	_, err = pgx.ForEachRow(rows, []any{&login, &verifier}, func() error { b.verifiers[login] = verifier; return nil })
	return err
}

// exec runs a statement as the superuser, past all contenders.
func (b *bench) exec(ctx context.Context, sql string) error {
	conn, err := pgx.Connect(ctx, b.server.DSN(database, pgserver.Superuser))
	if err != nil {
		return err
	}
	_, err = conn.Exec(ctx, sql)
	return errors.Join(err, conn.Close(ctx))
}

// plan builds the engine that pgveil will have, to know what it sends.
func (b *bench) plan(ctx context.Context) error {
	conn, err := pgx.Connect(ctx, b.server.DSN(database, pgserver.Superuser))
	if err != nil {
		return err
	}
	defer conn.Close(ctx)
	cat, err := pgload.Load(ctx, conn)
	if err != nil {
		return err
	}
	doc, err := policy.Parse(policy.File{Name: "policy.yaml", Text: benchPolicy(false)})
	if err != nil {
		return err
	}
	set, err := policy.Compile(doc, cat)
	if err != nil {
		return err
	}
	b.engine = rewrite.New(cat, set, 1<<20)
	return nil
}

// rewritten gives the statement that the server gets when the restricted
// login sends sql.
func (b *bench) rewritten(sql string) (string, error) {
	access, err := b.engine.Policy.Access(restrictedLogin, "")
	if err != nil {
		return "", err
	}
	session, err := b.engine.Session(access, "public")
	if err != nil {
		return "", err
	}
	plan, err := b.engine.Plan(session, sql)
	if err != nil {
		return "", fmt.Errorf("rewrite %q: %w", sql, err)
	}
	return plan.SQL, nil
}
