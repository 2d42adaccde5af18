package proxy_test

import (
	"context"
	"encoding/hex"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/pgveil/pgveil/audit"
	"github.com/pgveil/pgveil/catalog"
	"github.com/pgveil/pgveil/dsar"
	"github.com/pgveil/pgveil/internal/pgserver"
	"github.com/pgveil/pgveil/internal/pgtest"
	"github.com/pgveil/pgveil/policy"
	"github.com/pgveil/pgveil/proxy"
	"github.com/pgveil/pgveil/requests"
	ownstate "github.com/pgveil/pgveil/state"
)

// club starts a pgveil in front of a copy of the fixture with ledgers.
func club(t testing.TB) (f *front, database string, own *pgx.Conn) {
	t.Helper()
	database = pgtest.Database(t, "ledger")
	dsn := pgtest.Server(t).DSN(database, pgserver.Superuser)
	doc, err := os.ReadFile(filepath.Join(pgtest.Fixture(t, "ledger"), "policy.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	store, remember := remembers(t, database, new(atomic.Int64))
	f = start(t, database, string(doc), remember, func(o *proxy.Options) {
		enforcer := o.Enforcer
		o.Privacy = &requests.Service{Store: store, Tokens: store.SubjectTokens, Data: &dsar.Service{
			Connect: func(ctx context.Context) (*pgx.Conn, error) { return pgx.Connect(ctx, dsn) },
			Current: func() (*policy.Set, *catalog.Snapshot) {
				e := enforcer.Engine()
				return e.Policy, e.Catalog
			},
		}}
	})
	own = pgtest.Connect(t, dsn)
	exec(t, own, ownstate.Schema(dsar.Ledgers(f.Enforcer.Engine().Policy)...))
	return f, database, own
}

const (
	lettersTo = "SELECT id FROM members ORDER BY id"
	beginning = "1\n7\n" // those whom the fixture's newsletter goes to
)

// TestLedgerInForce has others look before and after each command: in sessions
// that stay, by statements that are prepared, in transactions that are open.
func TestLedgerInForce(t *testing.T) {
	f, database, _ := club(t)
	petra := f.connect(t, database, "petra")
	plain := f.connect(t, database, "ed")
	prepared := f.connect(t, database, "ed")
	if _, err := prepared.Prepare(t.Context(), "letters", lettersTo); err != nil {
		t.Fatal(err)
	}
	open, err := f.connect(t, database, "ed").Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer open.Rollback(t.Context())
	for _, tt := range []struct{ command, want string }{
		{"", beginning},
		{"PRIVACY CONSENT member 3 GIVE letters BY 'form'", "1\n3\n7\n"},
		{"PRIVACY CONSENT member 1 WITHDRAW letters", "3\n7\n"},
		{"PRIVACY RESTRICT member 3 BECAUSE 'contested'", "7\n"},
		{"PRIVACY OBJECT member 7 TO newsletter BECAUSE 'letter'", ""},
		{"PRIVACY LIFT RESTRICTION member 3 BECAUSE 'settled'", "3\n"},
		{"PRIVACY LIFT OBJECTION member 7 TO newsletter BECAUSE 'asked to'", "3\n7\n"},
		{"PRIVACY RESTRICT member 7 FOR newsletter BECAUSE 'asked to'", "3\n"},
	} {
		if tt.command != "" {
			if got := text(t.Context(), petra, tt.command); !strings.Contains(got, "|") {
				t.Fatalf("%s: %s", tt.command, got)
			}
		}
		for name, got := range map[string]string{
			"a session":          text(t.Context(), plain, lettersTo),
			"another":            text(t.Context(), f.connect(t, database, "ed"), lettersTo),
			"a prepared one":     rowsOf(t, prepared, "letters"),
			"a transaction":      rowsOf(t, open.Conn(), lettersTo),
			"a join, unprepared": text(t.Context(), plain, "SELECT DISTINCT m.id FROM members m LEFT JOIN visits v ON v.member_id = m.id ORDER BY 1"),
		} {
			if got != tt.want {
				t.Errorf("after %q, %s sees %q, want %q", tt.command, name, got, tt.want)
			}
		}
	}
}

// rowsOf runs a statement in the extended protocol, or one that is prepared.
func rowsOf(t *testing.T, conn *pgx.Conn, sql string) string {
	t.Helper()
	rows, err := conn.Query(t.Context(), sql)
	if err != nil {
		t.Fatal(err)
	}
	all, err := pgx.CollectRows(rows, pgx.RowTo[int32])
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	for _, id := range all {
		b.WriteString(string('0'+rune(id)) + "\n")
	}
	return b.String()
}

// TestLedgerRights asks without the right, and for what makes no sense.
func TestLedgerRights(t *testing.T) {
	f, database, own := club(t)
	for _, tt := range []struct{ user, sql, want string }{
		{"ed", "PRIVACY CONSENT member 3 GIVE letters", "42501"},
		{"ed", "PRIVACY RESTRICT member 3 BECAUSE 'x'", "42501"},
		{"ed", "PRIVACY SHOW CONSENT member 3", "42501"},
		{"ed", "PRIVACY SHOW RESTRICTIONS", "42501"},
		{"dora", "PRIVACY OBJECT member 3 TO planning BECAUSE 'x'", "42501"},
		{"petra", "PRIVACY OBJECT member 3 TO desk BECAUSE 'x'", "42501"},
		{"petra", "PRIVACY CONSENT member 3 GIVE leters", "42704"},
		{"petra", "PRIVACY CONSENT member 99 GIVE letters", "P0002"},
		{"petra", "PRIVACY CONSENT member 3", "42601"},
		{"petra", "SELECT * FROM pgveil.consent_events", "42501"},
	} {
		if got := text(t.Context(), f.connect(t, database, tt.user), tt.sql); !strings.Contains(got, tt.want) {
			t.Errorf("%s: %s: %s, want %s", tt.user, tt.sql, got, tt.want)
		}
	}
	if n, _, err := ownstate.VerifyEvents(t.Context(), own); n != 0 || err != nil {
		t.Errorf("%d events, %v", n, err)
	}
}

// TestLedgerWaitsItsTurn sends commands after what fails: they are passed over,
// as statements are.
func TestLedgerWaitsItsTurn(t *testing.T) {
	f, database, own := club(t)
	events := func() int64 {
		t.Helper()
		n, _, err := ownstate.VerifyEvents(t.Context(), own)
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	conn := f.connect(t, database, "petra")
	exec(t, conn, "BEGIN")
	if got := text(t.Context(), conn, "SELECT 1/0"); !strings.Contains(got, "22012") {
		t.Fatal(got)
	}
	if got := text(t.Context(), conn, "PRIVACY CONSENT member 3 GIVE letters"); !strings.Contains(got, "25P02") || events() != 0 {
		t.Errorf("in a failed transaction: %s, %d events", got, events())
	}
	exec(t, conn, "ROLLBACK")
	batch := conn.PgConn().StartPipeline(t.Context())
	batch.SendQueryParams("SELECT 1/0", nil, nil, nil, nil)
	batch.SendQueryParams("PRIVACY CONSENT member 3 GIVE letters", nil, nil, nil, nil)
	if err := batch.Sync(); err != nil {
		t.Fatal(err)
	}
	if err := batch.Close(); err == nil || events() != 0 {
		t.Errorf("after a failure in a pipeline: %v, %d events", err, events())
	}
	batch = f.connect(t, database, "petra").PgConn().StartPipeline(t.Context())
	batch.SendQueryParams("SELECT pg_sleep(0.1)", nil, nil, nil, nil)
	batch.SendQueryParams("PRIVACY CONSENT member 3 GIVE letters", nil, nil, nil, nil)
	if err := batch.Sync(); err != nil {
		t.Fatal(err)
	}
	if err := batch.Close(); err != nil || events() != 1 {
		t.Errorf("in a pipeline: %v, %d events", err, events())
	}
	// It stays whatever becomes of the client's transaction.
	conn = f.connect(t, database, "petra")
	exec(t, conn, "BEGIN")
	exec(t, conn, "PRIVACY CONSENT member 3 WITHDRAW letters")
	exec(t, conn, "ROLLBACK")
	if events() != 2 {
		t.Errorf("%d events after a rollback", events())
	}
}

// TestLedgerIsLogged finds the digest of each event in the access log, and
// nothing of what was said.
func TestLedgerIsLogged(t *testing.T) {
	f, database, own := club(t)
	exec(t, f.connect(t, database, "petra"), "PRIVACY CONSENT member WHERE email = 'cat@example.org' GIVE letters WORDING 'secret words'")
	_, last, err := ownstate.VerifyEvents(t.Context(), own)
	if err != nil {
		t.Fatal(err)
	}
	found := false
	for r, err := range audit.Read(f.AuditDir, 0) {
		if err != nil {
			t.Fatal(err)
		}
		if r.Event == hex.EncodeToString(last) && r.User == "petra" && r.Shape == "PRIVACY CONSENT member WHERE email = ? GIVE letters WORDING ?" {
			found = true
		}
		if strings.Contains(r.Shape+r.Message, "secret") || strings.Contains(r.Shape+r.Message, "cat@") {
			t.Errorf("the log holds a value: %+v", r)
		}
	}
	if !found {
		t.Errorf("no record holds the digest %x", last)
	}
}

// TestLedgerMissing takes the tables away: what is filtered by them fails.
func TestLedgerMissing(t *testing.T) {
	f, database, own := club(t)
	conn := f.connect(t, database, "ed")
	exec(t, own, "REVOKE SELECT ON pgveil.member_consents FROM ed")
	if got := text(t.Context(), conn, lettersTo); !strings.Contains(got, "42501") {
		t.Errorf("without a grant: %s", got)
	}
	exec(t, own, "GRANT SELECT ON pgveil.member_consents TO ed; ALTER TABLE pgveil.member_consents RENAME TO elsewhere")
	if got := text(t.Context(), conn, lettersTo); strings.Contains(got, "1\n") {
		t.Errorf("without the table: %s", got)
	}
	exec(t, own, "ALTER TABLE pgveil.elsewhere RENAME TO member_consents; TRUNCATE pgveil.member_consents")
	if err := f.Enforcer.Reload(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := text(t.Context(), f.connect(t, database, "ed"), lettersTo); got != "" {
		t.Errorf("with an empty one: %s", got)
	}
}
