package proxy_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"maps"
	"net"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/pgveil/pgveil/audit"
	"github.com/pgveil/pgveil/catalog"
	"github.com/pgveil/pgveil/catalog/pgload"
	"github.com/pgveil/pgveil/internal/pgserver"
	"github.com/pgveil/pgveil/internal/pgtest"
	"github.com/pgveil/pgveil/policy"
	"github.com/pgveil/pgveil/proxy"
	"github.com/pgveil/pgveil/rewrite"
	"github.com/pgveil/pgveil/rewrite/mask"
)

func TestMain(m *testing.M) { pgtest.Main(m) }

// shopPolicy is what the tests of a caller's purposes run under: sue has two,
// which show the same column differently.
const shopPolicy = `
version: 1
purposes:
  support: {basis: contract}
  sales:   {basis: contract}
classes:
  open:  [public.customers.id, public.customers.region, "public.orders.*", "public.countries.*"]
  email: [public.customers.email]
  name:  [public.customers.first_name]
  rest:  ["public.*.*"]
roles:
  agent:  {purposes: [support], tables: [{on: [public.customers, public.orders, public.countries], do: [select, insert, update, delete]}]}
  seller: {purposes: [sales], tables: [{on: [public.customers, public.orders], do: [select, update]}]}
  dba:    {unrestricted: true}
rules:
  - {role: agent,  for: support, on: email, show: clear}
  - {role: agent,  for: support, on: name,  show: clear}
  - {role: seller, for: sales,   on: email, show: redact}
users:
  alice:   {roles: [agent]}
  crm_app: {roles: [agent, seller]}
  dora:    {roles: [dba]}
unclassified: refuse
`

// front is a pgveil in front of a database of the test's server.
type front struct {
	*proxy.Server
	Addr     string
	Socket   string // of alsoUnix
	Enforcer *proxy.Enforcer
	Audit    *audit.Log
	AuditDir string
	Panics   bool // the test makes a session panic
	Log      *logged
	images   []string // tables of which there are images
	policy   atomic.Pointer[string]
	close    func(context.Context) error
}

// logged collects what a server logs.
type logged struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logged) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logged) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// start starts a pgveil for one database. When the test ends it must stop, with
// no panic in its log and no goroutine left behind.
func start(t testing.TB, database, text string, edits ...func(*proxy.Options)) *front {
	t.Helper()
	return startOn(t, database, text, nil, edits...)
}

// startOn is start with a listener of the test's own.
func startOn(t testing.TB, database, text string, ln net.Listener, edits ...func(*proxy.Options)) *front {
	t.Helper()
	server := pgtest.Server(t)
	admin := pgtest.Connect(t, server.DSN(database, pgserver.Superuser))
	f := &front{}
	f.policy.Store(&text)
	var err error
	if f.Enforcer, err = proxy.NewEnforcer(t.Context(), f.loader(admin), versionOf(admin)); err != nil {
		t.Fatal(err)
	}
	upstream := func(o *proxy.Options) { o.Upstream.Hosts = []proxy.Host{{Network: "unix", Address: socket(server)}} }
	f.run(t, database, ln, append([]func(*proxy.Options){upstream}, edits...))
	return f
}

// run starts the front of an enforcer.
func (f *front) run(t testing.TB, database string, ln net.Listener, edits []func(*proxy.Options)) {
	t.Helper()
	before := goroutines()
	f.Log, f.AuditDir = &logged{}, t.TempDir()
	var err error
	if f.Audit, err = audit.Open(f.AuditDir, audit.Options{SegmentSize: 1 << 20}); err != nil {
		t.Fatal(err)
	}
	keys, err := mask.Settings(bytes.Repeat([]byte{7}, 32))
	if err != nil {
		t.Fatal(err)
	}
	o := proxy.Options{
		Database: database, Enforcer: f.Enforcer, Audit: f.Audit, Method: proxy.Trust, MaskKeys: keys,
		Upstream:     proxy.Upstream{Mode: proxy.NoTLS, Timeout: 5 * time.Second},
		LoginTimeout: 10 * time.Second, MaxUnauthorized: 50, KeepAfter: 1, Log: slog.New(slog.NewTextHandler(f.Log, &slog.HandlerOptions{Level: slog.LevelDebug})),
	}
	for _, edit := range edits {
		edit(&o)
	}
	if f.Server, err = proxy.New(o); err != nil {
		t.Fatal(err)
	}
	if ln == nil {
		ln = listen(t)
	}
	f.Addr = ln.Addr().String()
	f.serve(ln)
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		// Sessions amid a transaction are no fault of the test.
		_ = f.close(ctx)
		if err := f.Audit.Close(); err != nil {
			t.Errorf("closing the log: %v", err)
		}
		if !f.Panics && strings.Contains(f.Log.String(), "panic in a session") {
			t.Errorf("a session panicked:\n%s", f.Log)
		}
		if g := leaked(before); g != "" {
			t.Errorf("a goroutine is left behind:\n%s", g)
		}
	})
}

// goroutines gives the stacks of the proxy's goroutines, by their headings.
func goroutines() map[string]string {
	all := make([]byte, 4<<20)
	all = all[:runtime.Stack(all, true)]
	found := map[string]string{}
	for g := range strings.SplitSeq(string(all), "\n\n") {
		if strings.Contains(g, "pgveil/proxy.(") || strings.Contains(g, "pgveil/proxy_test.(*front).serve") {
			id, _, _ := strings.Cut(g, " [")
			found[id] = g
		}
	}
	return found
}

// leaked gives the stack of one of the proxy's goroutines that was not there
// before and does not end.
func leaked(before map[string]string) (stack string) {
	for end := time.Now().Add(2 * time.Second); time.Now().Before(end); runtime.Gosched() {
		stack = ""
		for id, g := range goroutines() {
			if before[id] == "" {
				stack = g
			}
		}
		if stack == "" {
			break
		}
	}
	return stack
}

// serve accepts sessions until close is called, which drains them.
func (f *front) serve(ln net.Listener) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- f.Serve(ctx, ln) }()
	var once sync.Once
	f.close = func(drain context.Context) (err error) {
		once.Do(func() {
			err = errors.Join(ln.Close(), f.Shutdown(drain))
			cancel()
			err = errors.Join(err, <-done)
		})
		return err
	}
}

func (f *front) loader(conn *pgx.Conn) func(context.Context) (*rewrite.Engine, error) {
	return func(ctx context.Context) (*rewrite.Engine, error) {
		doc, err := policy.Parse(policy.File{Name: "policy.yaml", Text: *f.policy.Load()})
		if err != nil {
			return nil, err
		}
		cat, err := pgload.Load(ctx, conn)
		if err != nil {
			return nil, err
		}
		set, err := policy.Compile(doc, cat, policy.CheckRows(func(expr string, r *catalog.Relation) error { return rewrite.CheckFilter(cat, expr, r) }))
		if err != nil {
			return nil, err
		}
		e := rewrite.New(cat, set, 8<<20)
		e.NameSubjects()
		return e, e.KeepImages(f.images)
	}
}

func versionOf(conn *pgx.Conn) func(context.Context) (uint64, error) {
	return func(ctx context.Context) (uint64, error) { return pgload.Version(ctx, conn) }
}

// reload puts another policy in force.
func (f *front) reload(t testing.TB, text string) {
	t.Helper()
	f.policy.Store(&text)
	if err := f.Enforcer.Reload(t.Context()); err != nil {
		t.Fatal(err)
	}
}

func listen(t testing.TB) net.Listener {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return ln
}

func socket(s *pgserver.Server) string {
	_, port, _ := net.SplitHostPort(s.Addr())
	return s.SocketDir() + "/.s.PGSQL." + port
}

// dial connects without saying anything.
func (f *front) dial(t testing.TB) net.Conn {
	t.Helper()
	conn, err := net.Dial("tcp", f.Addr)
	if err != nil {
		t.Fatal(err)
	}
	if err := conn.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := conn.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
			t.Errorf("closing: %v", err)
		}
	})
	return conn
}

// config gives how to log in, with settings as pairs of name and value.
func (f *front) config(t testing.TB, database, user string, settings ...string) *pgx.ConnConfig {
	t.Helper()
	c, err := pgx.ParseConfig("postgres://" + user + "@" + f.Addr + "/" + database + "?sslmode=disable")
	if err != nil {
		t.Fatal(err)
	}
	given := map[string]string{}
	for i := 0; i+1 < len(settings); i += 2 {
		given[settings[i]] = settings[i+1]
	}
	maps.Copy(c.RuntimeParams, given)
	c.DefaultQueryExecMode = pgx.QueryExecModeSimpleProtocol
	return c
}

// connect logs in.
func (f *front) connect(t testing.TB, database, user string, settings ...string) *pgx.Conn {
	t.Helper()
	conn, err := pgx.ConnectConfig(t.Context(), f.config(t, database, user, settings...))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		_ = conn.Close(ctx) // the test may have ended the session
	})
	return conn
}

// text runs a query by the simple protocol and gives its rows as text, or its
// error as "SQLSTATE message".
func text(ctx context.Context, conn *pgx.Conn, sql string) string {
	results, err := conn.PgConn().Exec(ctx, sql).ReadAll()
	var b bytes.Buffer
	for _, r := range results {
		for _, row := range r.Rows {
			for i, v := range row {
				if i > 0 {
					b.WriteByte('|')
				}
				b.Write(v)
			}
			b.WriteByte('\n')
		}
	}
	if err != nil {
		return b.String() + said(err)
	}
	return b.String()
}

// dialogue is what a session says, text by text, and what the last answer must be:
// rows, or the SQLSTATE that it begins with.
type dialogue struct {
	name string
	sql  []string
	want string
}

// hold holds dialogues, each in a session of its own.
func (f *front) hold(t *testing.T, database, login string, all []dialogue) {
	for _, d := range all {
		t.Run(d.name, func(t *testing.T) {
			conn := f.connect(t, database, login)
			got := ""
			for _, sql := range d.sql {
				got = text(t.Context(), conn, sql)
			}
			if got != d.want && !(len(d.want) == 5 && strings.HasPrefix(got, d.want)) {
				t.Errorf("%.300s = %q, want %q", strings.Join(d.sql, "; "), got, d.want)
			}
		})
	}
}

// said gives an error's SQLSTATE and message.
func said(err error) string {
	var e *pgconn.PgError
	if errors.As(err, &e) {
		return e.Code + " " + e.Message
	}
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return "EOF"
	}
	return err.Error()
}

// code gives an error's SQLSTATE, "" for none.
func code(err error) string {
	var e *pgconn.PgError
	if errors.As(err, &e) {
		return e.Code
	}
	if err != nil {
		return err.Error()
	}
	return ""
}
