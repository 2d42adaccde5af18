package requests_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pgveil/pgveil/alert"
	"github.com/pgveil/pgveil/audit"
	"github.com/pgveil/pgveil/catalog"
	"github.com/pgveil/pgveil/catalog/pgload"
	"github.com/pgveil/pgveil/dsar"
	"github.com/pgveil/pgveil/erasures"
	"github.com/pgveil/pgveil/internal/pgserver"
	"github.com/pgveil/pgveil/internal/pgtest"
	"github.com/pgveil/pgveil/policy"
	"github.com/pgveil/pgveil/privacy"
	"github.com/pgveil/pgveil/requests"
	"github.com/pgveil/pgveil/state"
)

func TestMain(m *testing.M) { pgtest.Main(m) }

const shop = `
CREATE SCHEMA shop;
CREATE TABLE shop.persons (id integer PRIMARY KEY, name text NOT NULL, email text NOT NULL UNIQUE, phone text);
CREATE TABLE shop.orders (id integer PRIMARY KEY, person_id integer NOT NULL REFERENCES shop.persons, item text NOT NULL, note text, placed date NOT NULL DEFAULT '2026-01-01');
CREATE INDEX ON shop.orders (person_id);
CREATE TABLE shop.notes (id integer PRIMARY KEY, body text NOT NULL);
INSERT INTO shop.persons SELECT g, 'Person ' || g, 'person' || g || '@example.com', '+49 30 555' || to_char(g, 'FM0000') FROM generate_series(1, 50) AS g;
INSERT INTO shop.orders SELECT g, 1 + g % 50, 'item ' || g, 'leave it at the door' FROM generate_series(1, 500) AS g;
INSERT INTO shop.notes VALUES (1, 'nothing about anybody');
`

const shopPolicy = `
version: 1
purposes:
  support:   {basis: contract}
  marketing: {basis: legitimate_interest, direct_marketing: true}
  privacy:   {basis: legal_obligation}
subjects:
  person: {table: shop.persons, key: id, find_by: [email], ledger: true}
classes:
  open:  [shop.persons.id, shop.orders.id, shop.orders.person_id, shop.orders.item, shop.orders.placed, shop.notes.id]
  name:  [shop.persons.name]
  email: [shop.persons.email]
  phone: [shop.persons.phone]
  text:  [shop.orders.note, shop.notes.body]
requests:
  controller: {name: Shop, contact: privacy@shop.example, authority: the authority}
  erasure: {identity: account, approvals: 1}
roles:
  officer: {purposes: [privacy], privacy: [export, erase, rectify, restrict, consent, hold]}
  clerk:   {purposes: [privacy], privacy: [export]}
users:
  petra: {roles: [officer]}
  paul:  {roles: [officer]}
  olga:  {roles: [officer]}
  carl:  {roles: [clerk]}
`

// scene is a shop, its officers, and what was recorded and raised.
type scene struct {
	dsn     string
	conn    *pgx.Conn // for what only tests do
	service *requests.Service
	worker  *requests.Worker
	log     bytes.Buffer
	dir     string // of the access log

	audit   *audit.Log
	key     audit.Key
	ledger  *erasures.Ledger
	digests []string
}

func newScene(t testing.TB, policyText string) *scene {
	t.Helper()
	s := &scene{dsn: pgtest.Server(t).DSN(pgtest.Database(t, ""), pgserver.Superuser)}
	s.conn = pgtest.Connect(t, s.dsn)
	s.exec(t, shop)
	doc, err := policy.Parse(policy.File{Name: "p.yaml", Text: policyText})
	if err != nil {
		t.Fatal(err)
	}
	set, _ := s.compiled(t, doc, true)
	s.exec(t, state.Schema(dsar.Ledgers(set)...))
	set, cat := s.compiled(t, doc, false)
	own := pgtest.Connect(t, s.dsn)
	var one sync.Mutex
	store := &state.Store{Key: bytes.Repeat([]byte{7}, 32), Use: func(_ context.Context, f func(*pgx.Conn) error) error {
		one.Lock()
		defer one.Unlock()
		if own.IsClosed() { // by a context that ended
			own = pgtest.Connect(t, s.dsn)
		}
		return f(own)
	}}
	s.service = &requests.Service{
		Data: &dsar.Service{
			Connect: func(ctx context.Context) (*pgx.Conn, error) { return pgx.Connect(ctx, s.dsn) },
			Current: func() (*policy.Set, *catalog.Snapshot) { return set, cat },
		},
		Store: store, Tokens: store.SubjectTokens,
	}
	s.remember(t)
	s.worker = s.newWorker("worker")
	return s
}

// remember opens an access log that is signed, and a ledger of erasures.
func (s *scene) remember(t testing.TB) {
	t.Helper()
	dir := t.TempDir()
	var err error
	if s.key, _, err = audit.NewKey("shop.example/log"); err != nil {
		t.Fatal(err)
	}
	if s.audit, err = audit.Open(filepath.Join(dir, "log"), audit.Options{Key: &s.key, CheckpointEvery: 10 * time.Millisecond}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.audit.Close() })
	if s.ledger, err = erasures.Open(filepath.Join(dir, "ledger"), erasures.NewKey(bytes.Repeat([]byte{8}, 32)), erasures.Options{}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.ledger.Close() })
	s.dir = filepath.Join(dir, "log")
}

// newWorker gives one that writes down what it does.
func (s *scene) newWorker(name string) *requests.Worker {
	log := slog.New(slog.NewTextHandler(&s.log, nil))
	record := func(ctx context.Context, r *audit.Record) (uint64, error) {
		seq, err := s.audit.Append(r)
		if err != nil {
			return 0, err
		}
		return seq, s.audit.Sync(ctx, seq)
	}
	return &requests.Worker{
		Service: s.service, Name: name, Log: log, Alerts: alert.Logger{Log: log},
		Record: func(ctx context.Context, d requests.Deed) (uint64, error) {
			return record(ctx, &audit.Record{Kind: audit.KindPrivacy, Shape: d.What, Event: d.Digest, Relation: d.Table, Rows: d.Rows})
		},
		Notary: &requests.Notary{
			Ledger: s.ledger,
			Record: func(ctx context.Context, e erasures.Entry) (uint64, error) {
				return record(ctx, &audit.Record{Kind: audit.KindPrivacy, Event: e.Digest.String()})
			},
			Certify: func(ctx context.Context, c erasures.Certificate, records []uint64, secrets []string) ([]byte, error) {
				var places []erasures.Place
				for _, seq := range records {
					for s.audit.Stats().Signed <= seq {
						time.Sleep(time.Millisecond)
					}
					places = append(places, erasures.Place{Log: audit.NewProver(s.dir), Seq: seq})
				}
				c.Policy, c.Issued = "generation", time.Now().Add(time.Second)
				return erasures.NewCertificate(c, erasures.Issuer{Key: s.key}, places, secrets...)
			},
		},
	}
}

func (s *scene) compiled(t testing.TB, doc *policy.Document, ahead bool) (*policy.Set, *catalog.Snapshot) {
	t.Helper()
	cat, err := pgload.Load(t.Context(), s.conn)
	if err != nil {
		t.Fatal(err)
	}
	if ahead { // of the tables that are to be made
		cat = policy.Implied(doc, cat)
	}
	set, err := policy.Compile(doc, cat)
	if err != nil {
		t.Fatal(err)
	}
	return set, cat
}

func (s *scene) exec(t testing.TB, sql string, args ...any) {
	t.Helper()
	if _, err := s.conn.Exec(t.Context(), sql, args...); err != nil {
		t.Fatal(err)
	}
}

func (s *scene) one(t testing.TB, sql string) (text string) {
	t.Helper()
	if err := s.conn.QueryRow(t.Context(), sql).Scan(&text); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
	return text
}

// as is an officer of the policy.
func (s *scene) as(t testing.TB, user string) requests.By {
	t.Helper()
	set, _ := s.service.Data.Current()
	access, err := set.Access(user, "privacy")
	if err != nil {
		t.Fatal(err)
	}
	return requests.By{User: user, Proven: true, May: func(right string) error {
		if access.May(right) {
			return nil
		}
		return privacy.Fail(privacy.NotAllowed, "", "may not %s", right)
	}}
}

// ask gives a command for an officer.
func (s *scene) ask(t testing.TB, by requests.By, sql string) (rows [][]string, err error) {
	t.Helper()
	cmd, ok, err := privacy.ParseCommand(sql)
	if !ok || err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
	if cmd.Changes() {
		rows, err = s.service.Change(t.Context(), cmd, by, func(_ context.Context, digest string) error {
			s.digests = append(s.digests, digest)
			return nil
		})
	} else {
		_, err = s.service.Run(t.Context(), cmd, by, func(row []string) error { rows = append(rows, append([]string(nil), row...)); return nil })
	}
	for _, row := range rows {
		if len(row) != len(requests.Columns(cmd)) {
			t.Fatalf("%s: %d columns, not %d", sql, len(row), len(requests.Columns(cmd)))
		}
	}
	return rows, err
}

// must is ask, where an error fails the test. It gives the first row.
func (s *scene) must(t testing.TB, user, sql string) []string {
	t.Helper()
	rows, err := s.ask(t, s.as(t, user), sql)
	if err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
	if len(rows) == 0 {
		t.Fatalf("%s: no answer", sql)
	}
	return rows[0]
}

// refused is ask, where the error must be of a code and say something.
func (s *scene) refused(t testing.TB, by requests.By, sql string, code privacy.Code, says string) {
	t.Helper()
	_, err := s.ask(t, by, sql)
	var said *privacy.Error
	if !errors.As(err, &said) || said.Code != code || !strings.Contains(said.Error(), says) {
		t.Errorf("%s: %v, want %s %q", sql, err, code, says)
	}
}

// work lets the worker work until there is nothing to do.
func (s *scene) work(t testing.TB) {
	t.Helper()
	conn := pgtest.Connect(t, s.dsn)
	for range 5000 {
		busy, err := s.worker.Step(t.Context(), conn)
		if err != nil {
			t.Fatal(err)
		}
		if !busy {
			return
		}
	}
	t.Fatal("the worker does not come to an end")
}

// state of a request.
func (s *scene) state(t testing.TB, id string) string {
	t.Helper()
	return s.one(t, "SELECT state || coalesce(': ' || nullif(failure, ''), '') FROM pgveil.requests WHERE id = "+id)
}

// quiet is a log that nobody reads: the scene's is for one worker at a time.
func (s *scene) quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }
