package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pgveil/pgveil/internal/pgserver"
	"github.com/pgveil/pgveil/internal/pgtest"
)

var connections = flag.Int("connections", 1000, "how many connections TestConnectionsComeAndGo makes")

// writers insert numbered rows and remember which the server has acknowledged.
type writers struct {
	site    *site
	addr    string
	ctx     context.Context
	cancel  context.CancelFunc
	tasks   sync.WaitGroup
	acked   [4]atomic.Int64 // of each writer: rows up to here are there
	logins  atomic.Int64
	returns bool // a writer whose session ends logs in again
}

func (s *site) write(t *testing.T, addr string, returns bool) *writers {
	t.Helper()
	s.exec(t, "CREATE TABLE marks (writer int, n int)")
	w := &writers{site: s, addr: addr, returns: returns}
	w.ctx, w.cancel = context.WithCancel(t.Context())
	for i := range w.acked {
		w.tasks.Go(func() {
			for again := true; again && w.ctx.Err() == nil; again = returns {
				w.session(i)
			}
		})
	}
	return w
}

// session inserts until the session ends. A row whose answer was lost may be
// there or not: its number is not used again.
func (w *writers) session(i int) {
	conn, err := w.site.connect(w.ctx, w.addr, "dora")
	if err != nil {
		return
	}
	w.logins.Add(1)
	defer conn.Close(context.Background())
	for n := w.acked[i].Load() + 1; ; n++ {
		if _, err := conn.Exec(w.ctx, fmt.Sprintf("INSERT INTO marks VALUES (%d, %d)", i, n)); err != nil {
			return
		}
		w.acked[i].Store(n)
	}
}

func (w *writers) sum() (n int64) {
	for i := range w.acked {
		n += w.acked[i].Load()
	}
	return n
}

// more waits for so many further rows.
func (w *writers) more(t *testing.T, rows int64) {
	t.Helper()
	until := w.sum() + rows
	await(t, fmt.Sprintf("there are %d rows more", rows), func() bool { return w.sum() >= until })
}

// check ends the writers and compares what was acknowledged with what is there, and that with the
// access log.
func (w *writers) check(t *testing.T) {
	t.Helper()
	w.cancel()
	w.tasks.Wait()
	for i := range w.acked {
		acked := w.acked[i].Load()
		if n := w.site.count(t, fmt.Sprintf("SELECT count(DISTINCT n) FROM marks WHERE writer = %d AND n <= %d", i, acked)); n != acked {
			t.Errorf("writer %d: of %d rows that were acknowledged %d are there", i, acked, n)
		}
	}
	rows := w.site.count(t, "SELECT count(*) FROM marks")
	if n := w.site.recorded(t); n < rows {
		t.Errorf("%d rows are there, %d statements are recorded", rows, n)
	}
	t.Logf("%d rows acknowledged, %d there, in %d sessions", w.sum(), rows, w.logins.Load())
}

// exec runs statements past pgveil.
func (s *site) exec(t *testing.T, sql string) {
	t.Helper()
	conn := pgtest.Connect(t, s.server.DSN(s.database, pgserver.Superuser))
	if _, err := conn.PgConn().Exec(t.Context(), sql).ReadAll(); err != nil {
		t.Fatal(err)
	}
}

func (s *site) count(t *testing.T, sql string) (n int64) {
	t.Helper()
	conn := pgtest.Connect(t, s.server.DSN(s.database, pgserver.Superuser))
	if err := conn.QueryRow(t.Context(), sql).Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

// TestTermUnderLoad ends pgveil amid inserts: each that was acknowledged is
// there.
func TestTermUnderLoad(t *testing.T) {
	s := newSite(t, pgtest.Server(t), pgtest.Database(t, "shop"), "127.0.0.1:0", "")
	r := s.serve(t, "")
	w := s.write(t, r.address(t, listens), false)
	w.more(t, 300)
	r.stop(t)
	w.check(t)
}

// TestKilledUnderLoad kills pgveil, and starts it again.
func TestKilledUnderLoad(t *testing.T) {
	ln, file := socket(t)
	s := newSite(t, pgtest.Server(t), pgtest.Database(t, "shop"), "127.0.0.1:0", "")
	r := s.serve(t, "", file)
	w := s.write(t, ln.Addr().String(), true)
	w.more(t, 300)
	if err := r.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	<-r.exited
	r = s.serve(t, "", file)
	w.more(t, 300)
	r.stop(t)
	w.check(t)
}

// ownServer starts a server for a test that ends it.
func ownServer(t *testing.T, o pgserver.Options) *pgserver.Server {
	t.Helper()
	o.BinDir, o.FastUnsafe = os.Getenv(pgtest.EnvBin), true
	o.Settings = map[string]string{"synchronous_commit": "on"} // it loses nothing by its own end
	server, err := pgserver.Start(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := server.Stop(); err != nil {
			t.Error(err)
		}
	})
	return server
}

// TestServerCrashUnderLoad kills one of the server's processes, at which it
// ends all sessions and recovers: sessions are taken again.
func TestServerCrashUnderLoad(t *testing.T) {
	s := newSite(t, ownServer(t, pgserver.Options{}), "shop", "127.0.0.1:0", "")
	s.shop(t)
	r := s.serve(t, "")
	w := s.write(t, r.address(t, listens), true)
	for range 3 {
		w.more(t, 200)
		sessions := w.logins.Load()
		if err := syscall.Kill(s.backend(t), syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		await(t, "writers log in again", func() bool { return w.logins.Load() >= sessions+int64(len(w.acked)) })
	}
	w.more(t, 200)
	r.stop(t)
	w.check(t)
}

// backend gives the process of the server that a writer's session is in.
func (s *site) backend(t *testing.T) (pid int) {
	t.Helper()
	conn := pgtest.Connect(t, s.server.DSN(s.database, pgserver.Superuser))
	if err := conn.QueryRow(t.Context(), "SELECT pid FROM pg_stat_activity WHERE usename = 'dora' LIMIT 1").Scan(&pid); err != nil {
		t.Fatal(err)
	}
	if err := conn.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	return pid
}

// await waits for a condition.
func await(t *testing.T, what string, met func() bool) {
	t.Helper()
	late := time.After(time.Minute)
	for tick := time.Tick(5 * time.Millisecond); !met(); {
		select {
		case <-tick:
		case <-late:
			t.Fatalf("waiting until %s", what)
		}
	}
}

// TestServerRestartUnderLoad shuts the server down at once, as by a loss of
// power, and starts it again.
func TestServerRestartUnderLoad(t *testing.T) {
	dir := t.TempDir()
	if err := os.Chmod(filepath.Dir(dir), 0o755); err != nil { // the server is another user
		t.Fatal(err)
	}
	first := ownServer(t, pgserver.Options{Dir: filepath.Join(dir, "data"), Password: "secret"})
	s := newSite(t, first, "shop", "127.0.0.1:0", fmt.Sprintf(byAddress, first.Port()))
	s.shop(t)
	r := s.serve(t, "")
	w := s.write(t, r.address(t, listens), true)
	w.more(t, 200)
	if err := first.Stop(); err != nil {
		t.Fatal(err)
	}
	s.server = ownServer(t, pgserver.Options{Dir: filepath.Join(dir, "data"), Port: first.Port(), Password: "secret"})
	w.more(t, 200)
	r.stop(t)
	w.check(t)
}

// shop makes the shop on a server of the test's own.
func (s *site) shop(t *testing.T) {
	t.Helper()
	admin := *s
	admin.database = "postgres"
	admin.exec(t, "CREATE DATABASE "+s.database)
	for _, file := range []string{"schema.sql", "roles.sql", "rows.sql"} {
		text, err := os.ReadFile(filepath.Join(pgtest.Fixture(t, "shop"), file))
		if err != nil {
			t.Fatal(err)
		}
		s.exec(t, string(text))
	}
}

// TestReloadsUnderLoad reloads the policy and changes the schema while masked
// columns are read: what is read stays as it is.
func TestReloadsUnderLoad(t *testing.T) {
	s := newSite(t, pgtest.Server(t), pgtest.Database(t, "shop"), "127.0.0.1:0", "")
	r := s.serve(t, "")
	addr := r.address(t, listens)
	const sql = "SELECT string_agg(concat_ws('|', id, last_name, email, card), ';' ORDER BY id) FROM customers"
	read := func(conn *pgx.Conn) (got string, err error) {
		err = conn.QueryRow(t.Context(), sql).Scan(&got)
		return got, err
	}
	var clear, want string
	if err := pgtest.Connect(t, s.server.DSN(s.database, pgserver.Superuser)).QueryRow(t.Context(), sql).Scan(&clear); err != nil {
		t.Fatal(err)
	}
	var readers sync.WaitGroup
	var reads atomic.Int64
	stop := make(chan struct{})
	for i := range 3 {
		conn, err := s.connect(t.Context(), addr, "alice")
		if err != nil {
			t.Fatal(err)
		}
		if i == 0 {
			if want, err = read(conn); err != nil || want == clear || want == "" {
				t.Fatalf("%v, or nothing is masked: %s", err, want)
			}
		}
		readers.Go(func() {
			defer conn.Close(context.Background())
			for {
				select {
				case <-stop:
					return
				default:
				}
				if got, err := read(conn); err != nil || got != want {
					t.Errorf("after %d reads: %v: %s", reads.Load(), err, got)
					return
				}
				reads.Add(1)
			}
		})
	}
	owner, err := s.connect(t.Context(), addr, "dora")
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < 20 || reads.Load() < 20 && !t.Failed(); i++ {
		if err := r.cmd.Process.Signal(syscall.SIGHUP); err != nil {
			t.Fatal(err)
		}
		for _, ddl := range []string{"ALTER TABLE orders ADD COLUMN added int", "ALTER TABLE orders DROP COLUMN added", fmt.Sprintf("CREATE TABLE more_%d (n int)", i)} {
			if _, err := owner.Exec(t.Context(), ddl); err != nil {
				t.Fatal(err)
			}
		}
	}
	close(stop)
	readers.Wait()
	if err := owner.Close(t.Context()); err != nil {
		t.Error(err)
	}
	r.stop(t)
}

// TestOutOfFiles lets connections use up all file descriptors: sessions that
// are there go on, and when there is room again logins work.
func TestOutOfFiles(t *testing.T) {
	s := newSite(t, pgtest.Server(t), pgtest.Database(t, "shop"), "127.0.0.1:0", "")
	r := s.serve(t, "ulimit -n 48")
	addr := r.address(t, listens)
	there, err := s.connect(t.Context(), addr, "alice")
	if err != nil {
		t.Fatal(err)
	}
	var flood []net.Conn
	for range 100 {
		conn, err := net.Dial("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		flood = append(flood, conn)
	}
	await(t, "descriptors run out", func() bool { return strings.Contains(r.output.String(), "too many open files") })
	for range 100 {
		if _, err := there.Exec(t.Context(), "SELECT count(*) FROM orders"); err != nil {
			t.Fatalf("a session that is there: %v", err)
		}
	}
	for _, conn := range flood {
		if err := conn.Close(); err != nil {
			t.Error(err)
		}
	}
	if err := s.ask(addr); err != nil {
		t.Errorf("when there is room again: %v", err)
	}
	if err := there.Close(t.Context()); err != nil {
		t.Error(err)
	}
	r.stop(t)
}

// TestConnectionsComeAndGo makes connections that end without a byte, amid the
// login and after it, orderly and not: nothing of them is left. All come from
// one address, and faster than a busy machine sees that they are gone again.
func TestConnectionsComeAndGo(t *testing.T) {
	s := newSite(t, pgtest.Server(t), pgtest.Database(t, "shop"), "127.0.0.1:0", "limits: {unauthenticated: 2000, unauthenticated_per_address: 2000}\n")
	r := s.serve(t, "")
	addr := r.address(t, listens)
	s.comeAndGo(t, addr, 100)
	r.settles(t)
	before := r.vitals(t)
	s.comeAndGo(t, addr, *connections)
	r.settles(t)
	after := r.vitals(t)
	t.Logf("before %d connections %+v, after them %+v", *connections, before, after)
	if !after.within(before) || after.memory > before.memory+32<<20 {
		t.Errorf("%+v, want about %+v", after, before)
	}
	if err := s.ask(addr); err != nil {
		t.Error(err)
	}
	r.stop(t)
}

// comeAndGo makes connections, one in ten of which logs in.
func (s *site) comeAndGo(t *testing.T, addr string, n int) {
	t.Helper()
	start := fmt.Sprintf("\x00\x03\x00\x00user\x00alice\x00database\x00%s\x00\x00", s.database)
	start = fmt.Sprintf("\x00\x00\x00%c", len(start)+4) + start
	var clients sync.WaitGroup
	for c := range 4 {
		clients.Go(func() {
			for i := c; i < n; i += 4 {
				if err := s.visit(addr, start, i); err != nil {
					t.Errorf("connection %d: %v", i, err)
					return
				}
			}
		})
	}
	clients.Wait()
}

// visit is one connection, of the kind that its number says.
func (s *site) visit(addr, start string, i int) error {
	if i%10 == 9 {
		return s.ask(addr)
	}
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		return err
	}
	said := start[:(i*7)%len(start)] // nothing, too
	if i%3 == 0 {
		said = ""
	}
	_, err = conn.Write([]byte(said))
	if i%2 == 0 {
		err = errors.Join(err, conn.(*net.TCPConn).SetLinger(0))
	}
	return errors.Join(err, conn.Close())
}
