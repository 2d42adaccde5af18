package proxy_test

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pgveil/pgveil/internal/pgserver"
	"github.com/pgveil/pgveil/internal/pgtest"
	"github.com/pgveil/pgveil/proxy"
	kept "github.com/pgveil/pgveil/state"
)

// factorPolicy shows e-mail addresses to whom has given a second factor.
var factorPolicy = strings.Replace(shopPolicy, "[agent, seller]}", "[agent, seller], act_as: [agent]}", 1) +
	"second_factor: {classes: [email], for: 8h}\n"

// twofold is a front at whose clock alice's authenticator shows codes.
type twofold struct {
	*front
	database string
	admin    *pgx.Conn
	now      atomic.Int64
	code     func(time.Time) string
}

func (f *twofold) time() time.Time { return time.Unix(f.now.Load(), 0) }

// next waits for the next code, and gives it.
func (f *twofold) next() string {
	f.now.Add(30)
	return f.code(f.time())
}

func startTwofold(t *testing.T, edits ...func(*proxy.Options)) *twofold {
	t.Helper()
	f := &twofold{database: pgtest.Database(t, "shop")}
	f.now.Store(1_800_000_000)
	f.admin = pgtest.Connect(t, pgtest.Server(t).DSN(f.database, pgserver.Superuser))
	exec(t, f.admin, kept.Schema())
	conn := pgtest.Connect(t, pgtest.Server(t).DSN(f.database, pgserver.Superuser))
	var mu sync.Mutex
	store := &kept.Store{Key: make([]byte, 32), Use: func(_ context.Context, use func(*pgx.Conn) error) error {
		mu.Lock()
		defer mu.Unlock()
		return use(conn)
	}}
	f.code = enrolled(t, store, 8) // digits that are in no log by chance
	remembers := func(o *proxy.Options) { o.State, o.Now = store, f.time }
	f.front = start(t, f.database, factorPolicy, append(edits, remembers)...)
	return f
}

const emailOfOne = "SELECT email FROM customers ORDER BY id LIMIT 1"

// shows tells whether a session sees what needs a second factor.
func shows(t *testing.T, conn *pgx.Conn) bool {
	t.Helper()
	got := text(t.Context(), conn, emailOfOne)
	if !strings.Contains(got, "@") && !strings.Contains(got, "42501") {
		t.Fatalf("%s: %s", emailOfOne, got)
	}
	return strings.Contains(got, "@")
}

// TestWaysToGiveACode gives a right code in every way that there is: it counts in
// its session, until it ends, and no log holds it.
func TestWaysToGiveACode(t *testing.T) {
	f := startTwofold(t)
	exec(t, f.admin, "ALTER DATABASE "+f.database+" SET log_statement = 'all'")
	var used []string
	for name, give := range map[string]func(conn *pgx.Conn, code string) error{
		"PRIVACY MFA": func(conn *pgx.Conn, code string) error {
			_, err := conn.PgConn().Exec(t.Context(), "PRIVACY MFA "+code).ReadAll()
			return err
		},
		"a query": func(conn *pgx.Conn, code string) error {
			_, err := conn.PgConn().Exec(t.Context(), "SELECT pgveil.mfa('"+code+"')").ReadAll()
			return err
		},
		"a prepared query": func(conn *pgx.Conn, code string) error {
			var what, is string
			return conn.QueryRow(t.Context(), "SELECT pgveil.mfa('"+code+"')").Scan(&what, &is)
		},
		"a parameter": func(conn *pgx.Conn, code string) error {
			var what, is string
			return conn.QueryRow(t.Context(), "SELECT pgveil.mfa($1)", code).Scan(&what, &is)
		},
		"a parameter, not described": func(conn *pgx.Conn, code string) error {
			var what, is string
			return conn.QueryRow(t.Context(), "PRIVACY MFA $1", pgx.QueryExecModeExec, code).Scan(&what, &is)
		},
	} {
		t.Run(name, func(t *testing.T) {
			config := f.config(t, f.database, "alice")
			config.DefaultQueryExecMode = pgx.QueryExecModeCacheStatement
			conn, err := pgx.ConnectConfig(t.Context(), config)
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close(context.Background())
			if shows(t, conn) {
				t.Error("what needs a second factor is shown without")
			}
			right := f.next()
			if got := code(give(conn, "00000000")); got != "42501" {
				t.Errorf("a wrong code: %s", got)
			}
			if shows(t, conn) {
				t.Error("a wrong code counts")
			}
			if err := give(conn, right); err != nil {
				t.Fatalf("a right code: %v", err)
			}
			used = append(used, right)
			if !shows(t, conn) {
				t.Error("the second factor does not count")
			}
			if got := code(give(conn, right)); got != "42501" {
				t.Errorf("the same code again: %s", got)
			}
			if !shows(t, conn) {
				t.Error("a refused code takes away what was given")
			}
			if shows(t, f.connect(t, f.database, "alice")) {
				t.Error("it counts in another session")
			}
			f.now.Add(8*60*60 - 1)
			if !shows(t, conn) {
				t.Error("it ends too soon")
			}
			f.now.Add(1)
			if shows(t, conn) {
				t.Error("it does not end")
			}
		})
	}
	f.unlogged(t, used)
}

// unlogged looks for codes in the access log, in the process's own and in the
// server's.
func (f *twofold) unlogged(t *testing.T, codes []string) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(f.AuditDir, "*"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no log: %v", err)
	}
	files = append(files, pgtest.Server(t).LogFile())
	all := []byte(f.Log.String())
	for _, file := range files {
		if info, err := os.Stat(file); err == nil && info.IsDir() {
			continue
		}
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, b...)
	}
	for _, what := range []string{"PRIVACY MFA ?", "WHERE false AND $1::pg_catalog.text IS NULL"} {
		if !bytes.Contains(all, []byte(what)) {
			t.Errorf("no log holds %q", what)
		}
	}
	for _, code := range codes {
		if bytes.Contains(all, []byte(code)) {
			t.Errorf("a log holds the code %s", code)
		}
	}
}

// What is no code is refused, and the session goes on.
func TestWhatIsNoCode(t *testing.T) {
	f := startTwofold(t)
	conn := f.connect(t, f.database, "alice")
	for sql, want := range map[string]string{
		"SELECT pgveil.mfa($1)":                      "42P02",
		"PRIVACY MFA $1":                             "42P02",
		"SELECT pgveil.mfa('123456'); SELECT 1":      "42601",
		"SELECT pgveil.mfa('123456') FROM customers": "42601",
		"SELECT pgveil.mfa(NULL)":                    "42601",
		"SELECT 1, pgveil.mfa('123456')":             "42883",
		"PREPARE p AS SELECT pgveil.mfa('123456')":   "42883",
	} {
		if got := text(t.Context(), conn, sql); !strings.Contains(got, want) {
			t.Errorf("%s: %s, want %s", sql, got, want)
		}
	}
	for _, value := range []any{nil, "", "123", "12345a", strings.Repeat("1", 100), strings.Repeat("1", 100_000)} {
		_, err := conn.Exec(t.Context(), "SELECT pgveil.mfa($1)", pgx.QueryExecModeCacheDescribe, value)
		if got := code(err); got != "22P02" && got != "08P01" {
			t.Errorf("%.10v: %v", value, err)
		}
	}
	if shows(t, conn) {
		t.Error("something of that counts")
	}
	if got := text(t.Context(), f.connect(t, f.database, "dora"), "PRIVACY MFA 123456"); !strings.Contains(got, "P0002") {
		t.Errorf("who is not enrolled: %s", got)
	}
}

// Who only says to act for alice cannot use her codes, nor use them up.
func TestCodeOfUnsignedUser(t *testing.T) {
	f := startTwofold(t)
	right := f.next()
	conn := f.connect(t, f.database, "crm_app")
	exec(t, conn, "SET pgveil.end_user = 'alice'")
	if got := text(t.Context(), conn, "PRIVACY SHOW ACCESS"); !strings.Contains(got, "user|alice") {
		t.Fatal(got)
	}
	if got := text(t.Context(), conn, "PRIVACY MFA "+right); !strings.Contains(got, "42501") || !strings.Contains(got, "for certain") {
		t.Errorf("alice's code: %s", got)
	}
	if shows(t, conn) {
		t.Error("it counts")
	}
	if got := text(t.Context(), f.connect(t, f.database, "alice"), "PRIVACY MFA "+right); !strings.Contains(got, "accepted") {
		t.Errorf("it is used up: %s", got)
	}
}

// Of sessions that bring a code at once, one has it accepted.
func TestOneCodeAtOnce(t *testing.T) {
	f := startTwofold(t)
	conns := make([]*pgx.Conn, 4)
	for i := range conns {
		conns[i] = f.connect(t, f.database, "alice")
	}
	right := f.next()
	var all sync.WaitGroup
	for _, conn := range conns {
		all.Go(func() { text(t.Context(), conn, "PRIVACY MFA "+right) })
	}
	all.Wait()
	given := 0
	for _, conn := range conns {
		if shows(t, conn) {
			given++
		}
	}
	if given != 1 {
		t.Errorf("one code counts in %d sessions", given)
	}
}
