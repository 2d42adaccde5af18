package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pgveil/pgveil/internal/pgserver"
	"github.com/pgveil/pgveil/internal/pgtest"
)

// site is where processes of pgveil run: a database and a folder with a
// configuration.
type site struct {
	server   *pgserver.Server
	database string
	dir      string
}

const siteConfig = `
listen: ["%s"]
admin: 127.0.0.1:0
database: %s
policy: %s
audit: {dir: audit, key: audit.key, origin: site.example/audit, checkpoint: 100ms, anchors: [{file: anchor}]}
key: key
`

// How pgveil reaches the server: by its socket, where nobody needs a password,
// or by its address, where a restart of the server finds it again.
const (
	bySocket  = "server: {host: %q, port: %d, login: postgres}\nauth: {method: trust}\n"
	byAddress = "server: {host: 127.0.0.1, port: %d, tls: disable, login: postgres, password_file: password}\n"
)

// newSite makes a site on a copy of the shop; more is further configuration.
func newSite(t *testing.T, server *pgserver.Server, database, listen, more string) *site {
	t.Helper()
	s := &site{server: server, database: database, dir: t.TempDir()}
	policy := filepath.Join(pgtest.Fixture(t, "shop"), "policy.yaml")
	config := fmt.Sprintf(siteConfig, listen, database, policy) + more
	if !strings.Contains(more, "server:") {
		config += fmt.Sprintf(bySocket, server.SocketDir(), server.Port())
	}
	auditRun(t, 0, "key", filepath.Join(s.dir, "audit.key"), "--origin", "site.example/audit")
	for name, text := range map[string]string{"pgveil.yaml": config, "key": strings.Repeat("5e", 32), "password": server.Password()} {
		if err := os.WriteFile(filepath.Join(s.dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return s
}

func (s *site) log() string { return filepath.Join(s.dir, "audit") }

// running is one process of pgveil.
type running struct {
	cmd    *exec.Cmd
	output lockedBuffer
	says   chan string // to its service manager
	exited chan struct{}
	err    error // how it ended; to be read once exited is closed
}

type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// start starts a process as a service manager does, with the sockets that this
// listens on for it. shell runs before it: limits, say.
func (s *site) start(t *testing.T, shell string, sockets ...*os.File) *running {
	t.Helper()
	r := &running{exited: make(chan struct{})}
	line := shell + "\nexec pgveil serve --config pgveil.yaml"
	if len(sockets) > 0 {
		line = fmt.Sprintf("export LISTEN_FDS=%d LISTEN_PID=$$\n%s", len(sockets), line)
	}
	r.cmd = exec.Command("sh", "-c", line)
	r.cmd.Dir, r.cmd.ExtraFiles = s.dir, sockets
	r.cmd.Stdout, r.cmd.Stderr = &r.output, &r.output
	r.cmd.Env = append(os.Environ(), "NOTIFY_SOCKET="+r.manager(t))
	if err := r.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		r.err = r.cmd.Wait()
		close(r.exited)
	}()
	t.Cleanup(func() {
		_ = r.cmd.Process.Kill() // it may have ended
		<-r.exited
	})
	return r
}

// manager listens for what the process tells its service manager, and gives
// where.
func (r *running) manager(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "pgveil-") // the name of a socket is short
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "notify")
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	r.says = make(chan string, 8)
	go func() {
		b := make([]byte, 4096)
		for {
			n, err := conn.Read(b)
			if err != nil {
				return
			}
			r.says <- string(b[:n])
		}
	}()
	t.Cleanup(func() {
		if err := errors.Join(conn.Close(), os.RemoveAll(dir)); err != nil {
			t.Error(err)
		}
	})
	return path
}

// serve is start, until the process takes connections.
func (s *site) serve(t *testing.T, shell string, sockets ...*os.File) *running {
	t.Helper()
	r := s.start(t, shell, sockets...)
	select {
	case said := <-r.says:
		if said != "READY=1" {
			t.Fatalf("pgveil says %q, want READY=1", said)
		}
	case <-r.exited:
		t.Fatalf("pgveil ended: %v\n%s", r.err, r.output.String())
	}
	return r
}

// stop asks a process to end and waits for that.
func (r *running) stop(t *testing.T) {
	t.Helper()
	if err := r.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	r.ended(t)
}

func (r *running) ended(t *testing.T) {
	t.Helper()
	select {
	case <-r.exited:
	case <-time.After(time.Minute):
		t.Fatalf("pgveil does not end:\n%s", r.output.String())
	}
	if r.err != nil || strings.Contains(r.output.String(), "panic") {
		t.Errorf("pgveil ended: %v\n%s", r.err, r.output.String())
	}
}

var (
	listens = regexp.MustCompile(`msg=listening address=(\S+)`)
	admin   = regexp.MustCompile(`msg=admin address=(\S+)`)
)

// address gives one that the process tells of in its log, which may come later
// than what it tells its service manager.
func (r *running) address(t *testing.T, of *regexp.Regexp) string {
	t.Helper()
	late := time.After(10 * time.Second)
	for tick := time.Tick(time.Millisecond); ; {
		if m := of.FindStringSubmatch(r.output.String()); m != nil {
			return m[1]
		}
		select {
		case <-tick:
		case <-late:
			t.Fatalf("no address in\n%s", r.output.String())
		}
	}
}

// connect logs in at an address.
func (s *site) connect(ctx context.Context, addr, user string) (*pgx.Conn, error) {
	c, err := pgx.ParseConfig("postgres://" + user + ":" + user + "-password@" + addr + "/" + s.database + "?sslmode=disable&connect_timeout=20")
	if err != nil {
		return nil, err
	}
	c.DefaultQueryExecMode = pgx.QueryExecModeSimpleProtocol
	return pgx.ConnectConfig(ctx, c)
}
