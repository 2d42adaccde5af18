package proxy_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pgveil/pgveil/alert"
	"github.com/pgveil/pgveil/internal/pgserver"
	"github.com/pgveil/pgveil/internal/pgtest"
	"github.com/pgveil/pgveil/policy"
	"github.com/pgveil/pgveil/proxy"
	"github.com/pgveil/pgveil/state"
)

// member is one of several proxies of a database.
type member struct {
	*front
	down     atomic.Bool  // its own connection to the database fails
	readOnly atomic.Bool  // it takes no writes
	failures atomic.Int64 // what the database has refused
}

// members starts proxies that share a database.
func members(t *testing.T, database string, n int, edits ...func(*proxy.Options)) []*member {
	t.Helper()
	exec(t, pgtest.Connect(t, pgtest.Server(t).DSN(database, pgserver.Superuser)), state.Schema())
	all := make([]*member, n)
	for i := range all {
		all[i] = newMember(t, database, fmt.Sprintf("proxy%d", i), edits...)
	}
	return all
}

func newMember(t *testing.T, database, name string, edits ...func(*proxy.Options)) *member {
	t.Helper()
	m := &member{}
	dsn := pgtest.Server(t).DSN(database, pgserver.Superuser)
	var conn *pgx.Conn
	var turn sync.Mutex
	store := &state.Store{Key: make([]byte, 32), Use: func(ctx context.Context, f func(*pgx.Conn) error) (err error) {
		turn.Lock()
		defer turn.Unlock()
		if m.down.Load() {
			return errors.New("the database is down")
		}
		if conn == nil || conn.IsClosed() { // what takes too long closes it
			if conn, err = pgx.Connect(ctx, dsn); err != nil {
				return err
			}
		}
		if _, err = conn.Exec(ctx, fmt.Sprintf("SET default_transaction_read_only = %t", m.readOnly.Load())); err == nil {
			err = f(conn)
		}
		if err != nil {
			m.failures.Add(1)
		}
		return err
	}}
	t.Cleanup(func() {
		if conn != nil {
			_ = conn.Close(context.Background()) // it may have been closed amid something
		}
	})
	m.front = start(t, database, containPolicy, append([]func(*proxy.Options){func(o *proxy.Options) { o.Quarantines, o.Name = store, name }}, edits...)...)
	if err := m.Contain(t.Context()); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		m.KeepContained(ctx, func(error) {})
	}()
	t.Cleanup(func() { cancel(); <-done })
	return m
}

// forever takes longer than any test.
const (
	many    = "customers a, customers b, customers c, customers d, customers e, customers f, customers g, customers h, customers i, customers j, customers k, customers l"
	forever = "SELECT count(*) FROM " + many + " WHERE a.first_name || '4711' <> ''"
)

const quarantineAlice = "PRIVACY QUARANTINE alice FOR '1h' BECAUSE 'ticket 4711'"

// TestQuarantine keeps a user out of all proxies, whatever their sessions do.
func TestQuarantine(t *testing.T) {
	database := pgtest.Database(t, "shop")
	all := members(t, database, 3)
	admin := pgtest.Connect(t, pgtest.Server(t).DSN(database, pgserver.Superuser))
	type scene struct {
		name  string
		login string
		begin []string // before
		amid  string   // during
	}
	scenes := []scene{
		{"idle", "alice", nil, ""},
		{"listening", "alice", []string{"BEGIN", "COMMIT"}, ""},
		{"amid a transaction", "alice", []string{"BEGIN", "UPDATE customers SET first_name = 'x' WHERE id = 1 + %d"}, ""},
		{"amid a long statement", "alice", nil, forever},
		{"amid what is copied out", "alice", nil, "COPY (SELECT a.first_name FROM " + many + ") TO STDOUT"},
		{"a pool amid her statement", "crm_app", []string{"SET pgveil.end_user = 'alice'"}, forever},
		{"a pool amid her transaction", "crm_app", []string{"SET pgveil.end_user = 'alice'", "BEGIN", "UPDATE customers SET first_name = 'x' WHERE id = 4 + %d"}, ""},
	}
	type playing struct {
		scene
		conn *pgx.Conn
		ends chan string
	}
	var plays []playing
	for i, m := range all {
		for _, sc := range scenes {
			p := playing{sc, m.connect(t, database, sc.login), make(chan string, 1)}
			for _, sql := range sc.begin {
				sql = strings.ReplaceAll(sql, "%d", strconv.Itoa(i))
				if got := text(t.Context(), p.conn, sql); got != "" {
					t.Fatalf("%s: %s: %s", sc.name, sql, got)
				}
			}
			plays = append(plays, p)
			if sc.amid != "" {
				go func() { p.ends <- text(context.Background(), p.conn, sc.amid) }()
			}
		}
	}
	busy := func() (n int) {
		if err := admin.QueryRow(t.Context(), "SELECT count(*) FROM pg_stat_activity WHERE datname = $1 AND query ~ 'customers' AND (state = 'idle in transaction' OR state = 'active' AND pid <> pg_backend_pid())", database).Scan(&n); err != nil {
			t.Fatal(err)
		}
		return n
	}
	until(t, "all do what they are to", func() bool { return busy() == 15 })
	dora, free := all[0].connect(t, database, "dora"), all[2].connect(t, database, "crm_app")
	script(t, free, "SET pgveil.end_user = 'alice'", "", oneRow, "1\n", "PREPARE p AS SELECT id FROM customers WHERE id = 1", "", "EXECUTE p", "1\n")
	begun := time.Now()
	script(t, dora, quarantineAlice, `1\|user\|alice\|dora\|[^|]*\|1h0m0s\|ticket 4711\|in force\n$`)
	for _, p := range plays {
		ends := ""
		if p.amid != "" {
			ends = <-p.ends
		} else {
			until(t, p.name, func() bool {
				ends = text(t.Context(), p.conn, "SELECT 1")
				return ends != "1\n" && !strings.HasPrefix(ends, "42501")
			})
		}
		if !strings.Contains(ends, "57P01 terminating connection because user alice is in quarantine") && !strings.HasSuffix(ends, "EOF") && ends != "conn closed" { // the last two amid a message, where nothing can be said
			t.Errorf("%s: it ends with %.100q", p.name, ends)
		}
	}
	t.Logf("all sessions were over after %s", time.Since(begun))
	until(t, "the server does nothing for them any more", func() bool { return busy() == 0 })
	// Who shares the login goes on, and only her statements are refused.
	script(t, free, oneRow, "42501 user alice is in quarantine", "EXECUTE p", "42501", "PRIVACY SHOW ACCESS", "42501", "SET pgveil.end_user = 'bob'", "", oneRow, "1\n",
		"SET pgveil.end_user = 'alice'", "42501 user alice is in quarantine", "RESET pgveil.end_user", "",
		"/* pgveil.end_user='alice' */ "+oneRow, "42501 user alice is in quarantine")
	for i, m := range all {
		if _, err := pgx.ConnectConfig(t.Context(), m.config(t, database, "alice")); code(err) != "28000" {
			t.Errorf("a login at proxy %d: %v", i, err)
		}
		if !strings.Contains(m.Log.String(), "alert=quarantine") {
			t.Errorf("at proxy %d nobody was told", i)
		}
	}
	script(t, dora, "PRIVACY RELEASE alice BECAUSE 'a mistake'", `1\|user\|alice\|.*\|released by dora: a mistake\n$`, "PRIVACY RELEASE alice", "P0002")
	for _, m := range all {
		until(t, "she is let in again", func() bool {
			conn, err := pgx.ConnectConfig(t.Context(), m.config(t, database, "alice"))
			if err == nil {
				_ = conn.Close(t.Context())
			}
			return err == nil
		})
	}
	var changed int
	if err := admin.QueryRow(t.Context(), "SELECT count(*) FROM customers WHERE first_name = 'x'").Scan(&changed); err != nil || changed != 0 {
		t.Errorf("%d rows were changed by transactions that were not over, %v", changed, err)
	}
}

// TestWhoContains has those contain others who may, and nobody themselves.
func TestWhoContains(t *testing.T) {
	database := pgtest.Database(t, "shop")
	m := members(t, database, 1)[0]
	alice, dora, app := m.connect(t, database, "alice"), m.connect(t, database, "dora"), m.connect(t, database, "crm_app")
	for _, sql := range []string{"PRIVACY SHOW SESSIONS", "PRIVACY SHOW QUARANTINES", "PRIVACY QUARANTINE bob BECAUSE 'x'", "PRIVACY RELEASE bob", "PRIVACY KILL USER bob"} {
		script(t, alice, sql, "42501 your roles may not contain users")
		script(t, app, sql, "42501 your roles may not contain users")
	}
	const own = "42501 nobody puts themselves"
	script(t, dora, "PRIVACY QUARANTINE dora BECAUSE 'x'", own, "PRIVACY QUARANTINE LOGIN dora BECAUSE 'x'", own,
		"PRIVACY QUARANTINE ADDRESS '127.0.0.1' BECAUSE 'x'", own, "PRIVACY QUARANTINE ADDRESS '127.0.0.0/8' BECAUSE 'x'", own,
		"PRIVACY QUARANTINE ADDRESS '0.0.0.0/0' BECAUSE 'x'", own, "PRIVACY QUARANTINE ADDRESS '::ffff:127.0.0.1' BECAUSE 'x'", own,
		"PRIVACY QUARANTINE ADDRESS 'here' BECAUSE 'x'", "22P02", "PRIVACY QUARANTINE ADDRESS '10.0.0.1/33' BECAUSE 'x'", "22P02",
		"PRIVACY KILL USER dora", "42501 this would end", "PRIVACY KILL "+sessionID(t, dora), "42501 this would end",
		"PRIVACY QUARANTINE ADDRESS '10.1.2.3/8' BECAUSE 'x'", `1\|address\|10.0.0.0/8\|`,
		"PRIVACY QUARANTINE nemo BECAUSE 'x'", `2\|user\|nemo\|.*in force; the policy does not list that user`,
		"PRIVACY QUARANTINE max BECAUSE 'x'", `3\|user\|max\|dora\|[^|]*\|\|x\|in force\n$`,
		"PRIVACY SHOW QUARANTINES", `3\|user\|max\|.*\n2\|user\|nemo\|.*\n1\|address\|10.0.0.0/8\|.*\n$`)
	if _, err := pgx.ConnectConfig(t.Context(), m.config(t, database, "max")); code(err) != "28000" {
		t.Errorf("who holds the right and is in quarantine by another who does: %v", err)
	}
	// One's own cannot be released, be it one that does not keep out.
	script(t, dora, "PRIVACY RELEASE dora", own, "PRIVACY RELEASE LOGIN dora", own, "PRIVACY RELEASE ADDRESS '127.0.0.1'", own)
}

// TestSessions lists and ends sessions at any proxy.
func TestSessions(t *testing.T) {
	database := pgtest.Database(t, "shop")
	all := members(t, database, 3)
	dora, alice, bob := all[0].connect(t, database, "dora"), all[1].connect(t, database, "alice", "application_name", "psql"), all[2].connect(t, database, "bob")
	app := all[2].connect(t, database, "crm_app")
	script(t, app, "SET pgveil.end_user = 'alice'", "", "BEGIN", "", oneRow, "1")
	ended := make(chan string, 1)
	go func() { ended <- text(context.Background(), alice, forever) }()
	var list string
	until(t, "all sessions are seen", func() bool {
		list = text(t.Context(), dora, "PRIVACY SHOW SESSIONS")
		return regexp.MustCompile(`\|proxy1 [^|]*\|alice\|alice\|agent\|support\|127.0.0.1\|psql\|[^|]*\|active\|SELECT\|[0-9a-f]+\|0\n`).MatchString(list)
	})
	for _, want := range []string{
		`\|proxy0 [^|]*\|dora\|dora\|officer\|support\|[^|]*\|[^|]*\|[^|]*\|idle\|\|`,
		`\|proxy2 [^|]*\|bob\|bob\|agent\|support\|[^|]*\|[^|]*\|[^|]*\|idle\|\|`,
		`\|proxy2 [^|]*\|crm_app\|alice\|agent\|support\|[^|]*\|[^|]*\|[^|]*\|idle in transaction\|\|`,
	} {
		if !regexp.MustCompile(want).MatchString(list) {
			t.Errorf("there is no %s in\n%s", want, list)
		}
	}
	if strings.Contains(list, "4711") || strings.Contains(list, noAnswer) {
		t.Errorf("a literal, or a proxy that does not answer, is in\n%s", list)
	}
	id := regexp.MustCompile(`(?m)^(\w+)\|proxy1 `).FindStringSubmatch(list)[1]
	script(t, dora, "PRIVACY KILL "+id+" BECAUSE 'it takes long'", `proxy0 \w+\|0\nproxy1 \w+\|1\nproxy2 \w+\|0\n$`)
	if got := <-ended; !strings.HasPrefix(got, "57P01 terminating connection by the command") {
		t.Errorf("the session ends with %q", got)
	}
	script(t, dora, "PRIVACY KILL "+id, "P0002 there is no such session", "PRIVACY KILL USER alice", `proxy0 \w+\|0\nproxy1 \w+\|0\nproxy2 \w+\|1\n$`)
	script(t, app, "SELECT 1", "57P01|EOF")
	script(t, bob, oneRow, "1\n")
	all[1].down.Store(true)
	script(t, dora, "PRIVACY SHOW SESSIONS", `(?s).*\|proxy1 \w+\|.*\|`+noAnswer+`\|`)
	all[0].down.Store(true)
	script(t, dora, "PRIVACY SHOW SESSIONS", `.*dora.*other proxies`)
}

const noAnswer = "did not answer"

// TestDatabaseDown has a quarantine in force where it was made, at once, and
// everywhere once it can be written; and one that cannot be read any more goes on
// to its end.
func TestDatabaseDown(t *testing.T) {
	database := pgtest.Database(t, "shop")
	var ahead atomic.Int64
	all := members(t, database, 2, func(o *proxy.Options) {
		o.Now = func() time.Time { return time.Now().Add(time.Duration(ahead.Load())) }
	})
	refused := func(m *member, login string) bool {
		conn, err := pgx.ConnectConfig(t.Context(), m.config(t, database, login))
		if err == nil {
			_ = conn.Close(t.Context())
		}
		return code(err) == "28000"
	}
	dora, alice, other := all[0].connect(t, database, "dora"), all[0].connect(t, database, "alice"), all[1].connect(t, database, "alice")
	all[0].down.Store(true)
	script(t, dora, quarantineAlice, `\|user\|alice\|.*\|in force at this proxy alone`)
	script(t, alice, "SELECT 1", "57P01|EOF")
	script(t, other, oneRow, "1\n")
	script(t, dora, "PRIVACY RELEASE alice", "55000 that cannot be written down")
	if !refused(all[0], "alice") {
		t.Error("what cannot be written down is not in force")
	}
	all[0].down.Store(false)
	until(t, "it is written down, and read at the other", func() bool { return gone(t, other, "57P01|EOF") && refused(all[1], "alice") })
	script(t, dora, "PRIVACY SHOW QUARANTINES", `1\|user\|alice\|.*\|in force\n$`)
	for _, m := range all {
		m.down.Store(true)
		if err := m.Contain(t.Context()); err == nil {
			t.Error("a database that is down is read")
		}
		if !refused(m, "alice") {
			t.Error("what cannot be read is in force no more")
		}
	}
	ahead.Add(int64(59 * time.Minute))
	if !refused(all[0], "alice") || !refused(all[1], "alice") {
		t.Error("it ends before its time")
	}
	ahead.Add(int64(2 * time.Minute))
	if refused(all[0], "alice") || refused(all[1], "alice") {
		t.Error("it does not end")
	}
	// A proxy that starts later knows as well.
	ahead.Store(0)
	all[0].down.Store(false)
	if m := newMember(t, database, "late"); !refused(m, "alice") {
		t.Error("it does not outlive a restart")
	}
}

// TestDatabaseHangs has what proxies remember locked: a quarantine is in force where
// it was made, before it is known whether it can be written down.
func TestDatabaseHangs(t *testing.T) {
	database := pgtest.Database(t, "shop")
	all := members(t, database, 2)
	dora, alice, other := all[0].connect(t, database, "dora"), all[0].connect(t, database, "alice"), all[1].connect(t, database, "alice")
	locker := pgtest.Connect(t, pgtest.Server(t).DSN(database, pgserver.Superuser))
	exec(t, locker, "BEGIN; LOCK pgveil.quarantines")
	answer := make(chan string, 1)
	go func() { answer <- text(context.Background(), dora, quarantineAlice) }()
	until(t, "her session ends", func() bool { return gone(t, alice, "57P01|EOF") })
	select {
	case got := <-answer:
		t.Errorf("the table is locked, and the answer is %q", got)
	default:
	}
	if got := <-answer; !strings.Contains(got, "at this proxy alone") {
		t.Errorf("it is %q", got)
	}
	script(t, other, oneRow, "1\n")
	exec(t, locker, "COMMIT")
	until(t, "her other session ends", func() bool { return gone(t, other, "57P01|EOF") })
}

// TestServerRefuses has one proxy before a server that takes no writes: it keeps to
// what others write there, and does not fill the server's log with errors.
func TestServerRefuses(t *testing.T) {
	database := pgtest.Database(t, "shop")
	all := members(t, database, 2)
	all[1].readOnly.Store(true)
	until(t, "it is refused", func() bool { return all[1].Contain(t.Context()) != nil })
	before := all[1].failures.Load()
	alice := all[1].connect(t, database, "alice")
	script(t, all[0].connect(t, database, "dora"), quarantineAlice, "1")
	until(t, "her session ends", func() bool { return gone(t, alice, "57P01|EOF") })
	for range 20 {
		if err := all[1].Contain(t.Context()); err == nil {
			t.Error("nobody is told that nothing can be written")
		}
	}
	if n := all[1].failures.Load() - before; n > 4 {
		t.Errorf("the server has refused %d times", n)
	}
}

// TestQuarantineByProtocol keeps a user out who shares a login, between the messages
// of the extended protocol, and amid data that is copied in.
func TestQuarantineByProtocol(t *testing.T) {
	database := pgtest.Database(t, "shop")
	f := start(t, database, containPolicy)
	event, response := alert.Event{Name: "something", User: "alice"}, policy.Response{Quarantines: []policy.Quarantine{{Who: policy.TargetUser, For: time.Hour}}}
	app := f.connect(t, database, "crm_app")
	script(t, app, "SET pgveil.end_user = 'alice'", "")
	if _, err := app.Prepare(t.Context(), "one", "SELECT id FROM customers WHERE id = $1"); err != nil {
		t.Fatal(err)
	}
	run := func() error {
		return app.PgConn().ExecPrepared(t.Context(), "one", [][]byte{[]byte("1")}, nil, nil).Read().Err
	}
	if err := run(); err != nil {
		t.Fatal(err)
	}
	copying := f.connect(t, database, "crm_app")
	script(t, copying, "SET pgveil.end_user = 'alice'", "")
	data, feed := io.Pipe()
	copied := make(chan error, 1)
	go func() {
		_, err := copying.PgConn().CopyFrom(context.Background(), data, "COPY customers (id, first_name, last_name) FROM STDIN")
		copied <- err
	}()
	if _, err := feed.Write([]byte("4711\tx\ty\n")); err != nil { // the server takes data in
		t.Fatal(err)
	}
	f.Respond("", event, response)
	if err := run(); code(err) != "42501" || !strings.Contains(err.Error(), "user alice is in quarantine") {
		t.Errorf("what was prepared before: %v", err)
	}
	script(t, app, "SET pgveil.end_user = 'bob'", "")
	if err := run(); err != nil {
		t.Errorf("for another user: %v", err)
	}
	until(t, "the data ends", func() bool {
		if _, err := feed.Write([]byte("4712\tx\ty\n")); err != nil {
			return true
		}
		select {
		case err := <-copied:
			copied <- err
			return feed.Close() == nil
		default:
			return false
		}
	})
	if err := <-copied; err == nil {
		t.Error("what was copied in is kept")
	}
	script(t, app, "SELECT id FROM customers WHERE id > 4710", "$")
}

// TestQuarantineDuringLogin keeps a user out whose login was decided before.
func TestQuarantineDuringLogin(t *testing.T) {
	database := pgtest.Database(t, "shop")
	f := start(t, database, containPolicy)
	for i := range 40 {
		user := []string{"alice", "bob"}[i%2]
		in := make(chan *pgx.Conn, 1)
		go func() {
			conn, err := pgx.ConnectConfig(context.Background(), f.config(t, database, user))
			if err != nil && code(err) != "28000" && code(err) != "57P01" {
				t.Errorf("a login ends with %v", err)
			}
			in <- conn
		}()
		for range i * i { // anywhere within a login
			runtime.Gosched()
		}
		f.Respond("", alert.Event{Name: "something", User: user}, policy.Response{Quarantines: []policy.Quarantine{{Who: policy.TargetUser}}})
		if conn := <-in; conn != nil {
			until(t, "who got in is out again", func() bool { return gone(t, conn, "57P01|EOF") })
		}
		f.Release(policy.TargetUser, user)
	}
}

// TestFlood has the same noticed over and over, by many at once: it is written
// once.
func TestFlood(t *testing.T) {
	database := pgtest.Database(t, "shop")
	all := members(t, database, 2)
	var done sync.WaitGroup
	for _, m := range all {
		for range 8 {
			done.Go(func() {
				for range 200 {
					m.Respond("", alert.Event{Name: "something", User: "alice", Login: "alice", Addr: "192.0.2.7"}, policy.Response{
						Slow: true, Quarantines: []policy.Quarantine{{Who: policy.TargetUser, For: time.Hour}, {Who: policy.TargetAddress, For: time.Hour}},
					})
				}
			})
		}
	}
	done.Wait()
	dora := all[1].connect(t, database, "dora")
	var list string
	until(t, "it is written down", func() bool {
		list = text(t.Context(), dora, "PRIVACY SHOW QUARANTINES")
		return !strings.Contains(list, "this proxy alone") && strings.Contains(list, "192.0.2.7") && strings.Contains(list, "alice")
	})
	if n := strings.Count(list, "\n"); n > 2*len(all) {
		t.Errorf("%d quarantines are written:\n%s", n, list)
	}
	if got := text(t.Context(), all[0].connect(t, database, "bob"), oneRow); got != "1\n" {
		t.Errorf("others get %q", got)
	}
}
