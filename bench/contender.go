package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
)

// contender is one way from a client to the server.
type contender struct {
	name    string
	about   string
	login   string // whom its clients log in as
	program string // what must be on the PATH; "" is none
	prepare func(b *bench, dir string, r *running) (argv []string, err error)
}

// The names of those that others are compared with.
const (
	direct    = "direct"
	pgbouncer = "pgbouncer"
)

// contenders gives those that are wanted, in the order in which a round goes.
func (o *options) contenders() []*contender {
	all := []*contender{
		{name: direct, about: "the server itself", login: plainLogin},
		{name: "haproxy", about: "TCP mode, one thread", login: plainLogin, program: "haproxy", prepare: prepareHAProxy},
		{name: pgbouncer, about: "session mode", login: plainLogin, program: "pgbouncer", prepare: preparePgBouncer},
		{name: "pgveil", about: "a caller without restrictions", login: plainLogin, prepare: preparePgveil("relaxed", o.pgveil)},
		{name: "restricted", about: "pgveil, masks, a row filter and the access log", login: restrictedLogin, prepare: preparePgveil("relaxed", o.pgveil)},
		{name: "named", about: "restricted, and data subjects are named", login: restrictedLogin, prepare: prepareNamed(o.pgveil, subjectsText)},
		{name: "limited", about: "named, and limits of rows, bytes, statements and subjects, none of which is reached", login: restrictedLogin, prepare: prepareNamed(o.pgveil, subjectsText+limitsText)},
		{name: "sealed", about: "pgveil, some of whose columns are sealed", login: plainLogin, prepare: prepareSealed(o.pgveil)},
		{name: "sealed restricted", about: "restricted, with the same columns sealed", login: restrictedLogin, prepare: prepareSealed(o.pgveil)},
		{name: "shredding", about: "sealed, and each value of one more column has a data key", login: plainLogin, prepare: prepareSealed(o.pgveil)},
		{name: "intent", about: "restricted, answers wait for the record to be durable", login: restrictedLogin, prepare: preparePgveil("intent", o.pgveil)},
	}
	if o.other != "" {
		all = append(all,
			&contender{name: "other", about: "pgveil, in the other build", login: plainLogin, prepare: preparePgveil("relaxed", o.other)},
			&contender{name: "other restricted", about: "restricted, in the other build", login: restrictedLogin, prepare: preparePgveil("relaxed", o.other)},
			&contender{name: "other sealed", about: "sealed, in the other build", login: plainLogin, prepare: prepareSealed(o.other)},
			&contender{name: "other sealed restricted", about: "sealed restricted, in the other build", login: restrictedLogin, prepare: prepareSealed(o.other)},
			&contender{name: "other shredding", about: "shredding, in the other build", login: plainLogin, prepare: prepareSealed(o.other)},
			&contender{name: "other intent", about: "intent, in the other build", login: restrictedLogin, prepare: preparePgveil("intent", o.other)})
	}
	return slices.DeleteFunc(all, func(c *contender) bool { return o.among != nil && !o.among.MatchString(c.name) })
}

// running is a contender that takes logins.
type running struct {
	*contender
	port    int
	admin   int      // another port, for what is asked of the process itself
	process *process // nil when it is the server itself
}

// startTimeout is how long a contender may take to let the first client in.
const startTimeout = 30 * time.Second

// start starts a contender in a folder of its own.
func (b *bench) start(ctx context.Context, c *contender) (*running, error) {
	r := &running{contender: c, port: b.server.Port()}
	if c.prepare == nil {
		return r, nil
	}
	dir, err := os.MkdirTemp(b.dir, c.name+"-")
	if err != nil {
		return nil, err
	}
	if err := os.Chmod(dir, 0o755); err != nil { // PgBouncer leaves root behind
		return nil, err
	}
	for _, port := range []*int{&r.port, &r.admin} {
		if *port, err = freePort(); err != nil {
			return nil, err
		}
	}
	argv, err := c.prepare(b, dir, r)
	if err != nil {
		return nil, fmt.Errorf("prepare %s: %w", c.name, err)
	}
	if r.process, err = startProcess(dir, argv); err != nil {
		return nil, err
	}
	if err := b.await(ctx, r); err != nil {
		return nil, errors.Join(err, r.stop())
	}
	return r, nil
}

// startAll starts the contenders that take part in a workload.
func (b *bench) startAll(ctx context.Context, w *workload) ([]*running, error) {
	var all []*running
	for _, c := range b.contenders {
		if !w.takes(c) {
			continue
		}
		r, err := b.start(ctx, c)
		if err != nil {
			return nil, errors.Join(err, stopAll(all))
		}
		all = append(all, r)
	}
	return all, nil
}

func stopAll(all []*running) error {
	var errs []error
	for _, r := range all {
		errs = append(errs, r.stop())
	}
	return errors.Join(errs...)
}

// stop ends the contender and removes what it wrote.
func (r *running) stop() error {
	if r.process == nil {
		return nil
	}
	r.process.stop()
	return os.RemoveAll(filepath.Dir(r.process.log))
}

// await tries to log in until it works.
func (b *bench) await(ctx context.Context, r *running) error {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	for {
		conn, err := pgconn.Connect(ctx, b.clientDSN(r))
		if err == nil {
			return conn.Close(ctx)
		}
		select {
		case <-r.process.exited:
			return fmt.Errorf("%s ended at once:\n%s", r.name, r.process.tail())
		case <-ctx.Done():
			return fmt.Errorf("%s lets nobody in: %w\n%s", r.name, err, r.process.tail())
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// cpu gives the processor time that the contender's own process has used.
func (r *running) cpu() (time.Duration, error) {
	if r.process == nil {
		return 0, nil
	}
	return cpuTime(r.process.cmd.Process.Pid)
}

// tail gives the end of the contender's log, for errors.
func (r *running) tail() string {
	if r.process == nil {
		return ""
	}
	return r.name + " said:\n" + r.process.tail()
}

func freePort() (int, error) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	defer ln.Close()
	return ln.Addr().(*net.TCPAddr).Port, nil
}

// missing splits the contenders into those that can run and the programs that
// the others lack.
func missing(all []*contender) (present []*contender, programs []string) {
	for _, c := range all {
		if c.program != "" && findProgram(c.program) == "" {
			programs = append(programs, c.program)
			continue
		}
		present = append(present, c)
	}
	return present, programs
}

// findProgram looks where Debian puts servers as well: not every user's PATH
// holds /usr/sbin.
func findProgram(name string) string {
	if path, err := exec.LookPath(name); err == nil {
		return path
	}
	if path, err := exec.LookPath(filepath.Join("/usr/sbin", name)); err == nil {
		return path
	}
	return ""
}

// install installs programs by the system's package manager.
func install(ctx context.Context, b *bench, packages []string) error {
	apt := exec.CommandContext(ctx, "apt-get", slices.Concat([]string{"install", "-y", "--no-install-recommends"}, packages)...)
	apt.Env = append(os.Environ(), "DEBIAN_FRONTEND=noninteractive")
	apt.Stdout, apt.Stderr = b.progress, b.progress
	if err := apt.Run(); err != nil {
		return fmt.Errorf("install %v: %w", packages, err)
	}
	return nil
}

// clientDSN says how a client reaches a contender.
func (b *bench) clientDSN(r *running) string {
	return fmt.Sprintf("host=%s port=%d user=%s password=%s dbname=%s sslmode=%s", b.clientHost(r), r.port, r.login, password, database, b.sslMode())
}

// clientEnv says the same to libpq, and nothing else: PGOPTIONS and the like
// of whoever runs us would steer it.
func (b *bench) clientEnv(r *running) []string {
	return []string{"PATH=" + os.Getenv("PATH"), "LC_ALL=C", "PGHOST=" + b.clientHost(r), "PGPORT=" + strconv.Itoa(r.port),
		"PGUSER=" + r.login, "PGPASSWORD=" + password, "PGSSLMODE=" + b.sslMode()}
}

// clientHost is where a client finds a contender: by the network, unless it is
// the server, and that is to be found by its socket.
func (b *bench) clientHost(r *running) string {
	if r.process == nil {
		return b.serverHost()
	}
	return "127.0.0.1"
}

func (b *bench) serverHost() string {
	if b.o.unix {
		return b.server.SocketDir()
	}
	return "127.0.0.1"
}

func (b *bench) sslMode() string {
	if b.tls {
		return "require"
	}
	return "disable"
}
