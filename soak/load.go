package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// load is everything that clients do.
type load struct {
	stage *stage
	ctx   context.Context
	tasks sync.WaitGroup
	done  atomic.Int64
	// Portals that were bound under a policy and executed under the next one
	// are refused. It is rare, and counted.
	overtaken atomic.Int64
	mu        sync.Mutex
	errs      []error
}

// client is one of them: it logs in, does what its deed says some times, and
// begins anew.
type client struct {
	name, login string
	mode        pgx.QueryExecMode
	deed        func(ctx context.Context, conn *pgx.Conn, n int) error
}

// startLoad starts the clients. They take turns so that all do what rate says.
func startLoad(ctx context.Context, s *stage, rate int) *load {
	l := &load{stage: s, ctx: ctx}
	all := clients()
	pace := time.Duration(len(all)) * time.Second / time.Duration(rate)
	for _, c := range all {
		l.tasks.Go(func() { l.keepUp(c, pace) })
	}
	l.tasks.Go(l.reload)
	return l
}

// turns is how often a client does its deed in one session.
const turns = 200

func (l *load) keepUp(c client, pace time.Duration) {
	for l.ctx.Err() == nil {
		if err := l.session(c, pace); err != nil && l.ctx.Err() == nil {
			l.mu.Lock()
			l.errs = append(l.errs, fmt.Errorf("%s as %s: %w", c.name, c.login, err))
			l.mu.Unlock()
			return
		}
	}
}

func (l *load) session(c client, pace time.Duration) error {
	conn, err := l.connect(c)
	if err != nil {
		return err
	}
	defer func() {
		if rand.IntN(2) == 0 {
			_ = conn.PgConn().Conn().Close() // and not a word
		}
		_ = conn.Close(context.Background()) // it may be closed
	}()
	tick := time.NewTicker(pace)
	defer tick.Stop()
	for n := range 1 + rand.IntN(turns) {
		select {
		case <-l.ctx.Done():
			return nil
		case <-tick.C:
		}
		err := c.deed(l.ctx, conn, n)
		if overtaken(err) {
			l.overtaken.Add(1)
			return nil
		}
		if err != nil {
			return err
		}
		l.done.Add(1)
		if conn.IsClosed() {
			return nil
		}
	}
	return nil
}

func (l *load) connect(c client) (*pgx.Conn, error) {
	config, err := pgx.ParseConfig(fmt.Sprintf("postgres://%s:%[1]s-password@%s/shop?sslmode=verify-full&sslrootcert=%s", c.login, l.stage.addr, l.stage.server.CAFile()))
	if err != nil {
		return nil, err
	}
	config.DefaultQueryExecMode = c.mode
	return pgx.ConnectConfig(l.ctx, config)
}

// wait waits for the clients and gives what went wrong.
func (l *load) wait() error {
	l.tasks.Wait()
	l.mu.Lock()
	defer l.mu.Unlock()
	return errors.Join(l.errs...)
}

func (l *load) String() string {
	return fmt.Sprintf("%d deeds, %d overtaken by a policy", l.done.Load(), l.overtaken.Load())
}

// overtaken tells an error that a new policy came between two messages.
func overtaken(err error) bool {
	var e *pgconn.PgError
	return errors.As(err, &e) && e.Code == "42501" && strings.Contains(e.Message, "under another policy")
}

// reload puts the policy in force anew, with another text and by a signal, changes
// the schema, and now and then the keys of what is not looked for.
func (l *load) reload() {
	conn, err := pgx.Connect(l.ctx, l.stage.server.DSN("shop", "postgres"))
	if err != nil {
		l.fail("reload", err)
		return
	}
	defer conn.Close(context.Background())
	tick := time.NewTicker(5 * time.Second)
	defer tick.Stop()
	for n := 0; ; n++ {
		select {
		case <-l.ctx.Done():
			return
		case <-tick.C:
		}
		if err := l.change(conn, n); err != nil && l.ctx.Err() == nil {
			l.fail("reload", err)
			return
		}
	}
}

func (l *load) change(conn *pgx.Conn, n int) error {
	if n%20 == 19 {
		return l.stage.keys("rotate", "vault_iban", "vault_income")
	}
	path := filepath.Join(l.stage.work, "policy.yaml")
	switch n % 3 {
	case 0:
		text := fmt.Appendf(nil, "%s\n# the %d-th\n", l.stage.policy, n)
		return errors.Join(os.WriteFile(path+".new", text, 0o600), os.Rename(path+".new", path))
	case 1:
		return l.stage.cmd.Process.Signal(syscall.SIGHUP)
	default:
		_, err := conn.Exec(l.ctx, "ALTER TABLE orders ADD COLUMN added int; ALTER TABLE orders DROP COLUMN added", pgx.QueryExecModeSimpleProtocol)
		return err
	}
}

func (l *load) fail(who string, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.errs = append(l.errs, fmt.Errorf("%s: %w", who, err))
}

// refused wants an error of an SQLSTATE, which the session survives.
func refused(err error, want string) error {
	var e *pgconn.PgError
	if errors.As(err, &e) && e.Code == want {
		return nil
	}
	return fmt.Errorf("got %v, want %s", err, want)
}
