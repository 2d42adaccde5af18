package reseal

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"

	"github.com/pgveil/pgveil/catalog/pgload"
	"github.com/pgveil/pgveil/internal/pgtest"
	"github.com/pgveil/pgveil/policy"
	"github.com/pgveil/pgveil/seal"
)

func TestMain(m *testing.M) { pgtest.Main(m) }

// site is a database with a policy that seals some of it.
type site struct {
	conn *pgx.Conn
	dsn  string
	set  *policy.Set
	all  []*Column

	mu   sync.Mutex
	keys map[string][]*seal.Key
	ring *seal.Ring
}

const classHead = "version: 1\nmode: enforce\nclasses:\n  open: [\"public.*.*\"]\n"

func newSite(t testing.TB, schema, classes string) *site {
	t.Helper()
	return newSiteOn(t, pgtest.Server(t).DSN(pgtest.Database(t, ""), "postgres"), schema, classes)
}

func newSiteOn(t testing.TB, dsn, schema, classes string) *site {
	t.Helper()
	s := &site{keys: map[string][]*seal.Key{}, dsn: dsn}
	s.conn = pgtest.Connect(t, s.dsn)
	s.exec(t, schema)
	doc, err := policy.Parse(policy.File{Name: "seal.yaml", Text: classHead + classes})
	if err != nil {
		t.Fatal(err)
	}
	cat, err := pgload.Load(t.Context(), s.conn)
	if err != nil {
		t.Fatal(err)
	}
	if s.set, err = policy.Compile(doc, cat); err != nil {
		t.Fatal(err)
	}
	if s.all, err = Columns(s.set, cat); err != nil {
		t.Fatal(err)
	}
	for _, c := range s.all {
		if s.keys[c.Class] == nil {
			s.rotate(t, c.Class)
		}
	}
	return s
}

// rotate gives a class another primary key.
func (s *site) rotate(t testing.TB, class string) *seal.Key {
	t.Helper()
	for _, k := range s.keys[class] {
		if k.State == seal.Primary {
			k.State = seal.Enabled
		}
	}
	k := seal.NewKey(class, seal.Primary, time.Now())
	s.keys[class] = append(s.keys[class], k)
	s.renew(t)
	return k
}

func (s *site) renew(t testing.TB) {
	t.Helper()
	var all []*seal.Key
	for _, of := range s.keys {
		all = append(all, of...)
	}
	ring, err := seal.NewRing(all...)
	if err != nil {
		t.Fatal(err)
	}
	s.mu.Lock()
	s.ring = ring
	s.mu.Unlock()
}

func (s *site) now(context.Context) (*seal.Ring, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.ring, nil
}

func (s *site) job(t testing.TB) *Job {
	return &Job{Conn: pgtest.Connect(t, s.dsn), Ring: s.now}
}

func (s *site) exec(t testing.TB, sql string, args ...any) {
	t.Helper()
	if _, err := s.conn.Exec(t.Context(), sql, args...); err != nil {
		t.Fatal(err)
	}
}

func (s *site) column(t testing.TB, name string) *Column {
	t.Helper()
	for _, c := range s.all {
		if c.Column == name {
			return c
		}
	}
	t.Fatalf("no column %s is sealed", name)
	return nil
}

func (s *site) count(t testing.TB, c *Column) *Census {
	t.Helper()
	census, err := Count(t.Context(), s.conn, s.ring, c)
	if err != nil {
		t.Fatal(err)
	}
	return census
}

// values gives the values of a column by a key, opened.
func (s *site) values(t testing.TB, c *Column, key string) map[string]string {
	t.Helper()
	w, err := s.ring.Sealer(c.Sealed)
	if err != nil {
		t.Fatal(err)
	}
	rows, err := s.conn.Query(t.Context(), fmt.Sprintf("SELECT %s::text, %s, %s FROM %s AS t WHERE %s IS NOT NULL", key, c.raw(), c.key(), ident(c.Schema, c.Table), c.raw()))
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]string{}
	var k string
	var stored, row []byte
	if _, err := pgx.ForEachRow(rows, []any{&k, &stored, &row}, func() error {
		value, err := c.at(w, row).Open(nil, stored)
		if errors.Is(err, seal.ErrClear) {
			value, err = append([]byte("clear "), stored...), nil
		}
		all[k] = string(value)
		return err
	}); err != nil {
		t.Fatal(err)
	}
	return all
}

func one(t testing.TB, conn *pgx.Conn, sql string, args ...any) (n int64) {
	t.Helper()
	if err := conn.QueryRow(t.Context(), sql, args...).Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

// TestEveryKind seals columns of each type, of tables with each kind of key, and takes
// them back.
func TestEveryKind(t *testing.T) {
	s := newSite(t, `
CREATE TABLE people (id int PRIMARY KEY, ssn text, iban varchar(200), born text, income bytea, notes jsonb, raw json, phone text, phone_blind bytea, picture bytea);
CREATE TABLE visits (a int, b text, ssn text, PRIMARY KEY (a, b), note text);
CREATE TABLE loose (n int, ssn text);
CREATE TABLE parted (id int, at date, ssn text, PRIMARY KEY (id, at)) PARTITION BY RANGE (at);
CREATE TABLE parted_1 PARTITION OF parted FOR VALUES FROM ('2025-01-01') TO ('2026-01-01');
CREATE TABLE parted_2 PARTITION OF parted FOR VALUES FROM ('2026-01-01') TO ('2027-01-01');
CREATE TABLE heir (more int) INHERITS (loose);
INSERT INTO people SELECT i, 'ssn ' || i, 'iban ' || i, '1990-01-0' || 1 + i % 9, ('1' || i || '.50')::bytea, json_build_object('a', i), json_build_object('b', i), 'phone ' || i % 7, NULL, decode('00ff' || to_hex(16 + i % 9), 'hex') FROM generate_series(1, 500) AS i;
UPDATE people SET ssn = NULL, phone = NULL WHERE id % 10 = 0;
UPDATE people SET ssn = '' WHERE id = 1;
INSERT INTO visits SELECT i, 'b~' || i, 'ssn ' || i, 'note ' || i FROM generate_series(1, 500) AS i;
INSERT INTO loose SELECT i, 'ssn ' || i FROM generate_series(1, 500) AS i;
INSERT INTO heir SELECT i, 'ssn ' || i, 1 FROM generate_series(501, 700) AS i;
INSERT INTO parted SELECT i, date '2025-01-01' + i, 'ssn ' || i FROM generate_series(1, 500) AS i;
`, `
  same: {columns: [public.people.ssn, public.visits.ssn, public.loose.ssn, public.parted.ssn], seal: deterministic, joins: true, clear: accept}
  note: {columns: [public.visits.note], seal: randomized, clear: accept, bind: row}
  iban: {columns: [public.people.iban, public.people.raw, public.people.notes], seal: randomized, clear: accept, bind: row}
  born: {columns: [public.people.born], seal: deterministic, type: date, clear: accept}
  income: {columns: [public.people.income], seal: randomized, type: numeric, clear: accept, bind: row}
  phone: {columns: [public.people.phone], seal: randomized, index: blind, clear: accept}
  picture: {columns: [public.people.picture], seal: randomized, clear: accept}
`)
	keys := map[string]string{"people": "t.id", "visits": "t.b", "loose": "t.n", "parted": "t.id"}
	before := map[string]map[string]string{}
	if len(s.all) != 12 {
		t.Fatalf("%d columns are sealed", len(s.all))
	}
	for _, c := range s.all {
		before[c.Column] = s.values(t, c, keys[c.Table])
		j := s.job(t)
		j.Batch = 64
		r, err := j.Migrate(t.Context(), c)
		if err != nil {
			t.Fatal(err)
		}
		if census := s.count(t, c); census.Clear != 0 || census.Damaged != 0 || census.Sealed() != r.Done || r.Done != int64(len(before[c.Column])) || census.Null+census.Sealed() != census.Rows {
			t.Errorf("%s: %+v after %+v", c.Column, census, r)
		}
		if again, err := j.Migrate(t.Context(), c); err != nil || again.Done != 0 {
			t.Errorf("%s once more: %+v, %v", c.Column, again, err)
		}
		for k, v := range s.values(t, c, keys[c.Table]) {
			if was := before[c.Column][k]; c.Values != "date" && was != "clear "+v || c.Values == "date" && !strings.HasPrefix(v, "1990-01-0") {
				t.Fatalf("%s of %s is %q, and was %q", c.Column, k, v, was)
			}
		}
	}
	for _, c := range s.all {
		old := s.keys[c.Class][0]
		if len(s.keys[c.Class]) == 1 {
			s.rotate(t, c.Class)
		}
		sealed := s.values(t, c, keys[c.Table])
		r, err := s.job(t).Rotate(t.Context(), c)
		if census := s.count(t, c); err != nil || r.Done != census.Sealed() || len(census.Under) != 1 || census.Under[0].State != seal.Primary || census.Under[0].Key == old.ID || census.Unfound != 0 {
			t.Errorf("rotating %s: %+v, %v", c.Column, census, err)
		}
		for k, v := range s.values(t, c, keys[c.Table]) {
			if sealed[k] != v {
				t.Fatalf("rotated, %s of %s is %q, and was %q", c.Column, k, v, sealed[k])
			}
		}
	}
	for _, c := range s.all {
		if r, err := s.job(t).Unseal(t.Context(), c); err != nil || r.Census.Clear != int64(len(before[c.Column])) || r.Census.Sealed() != 0 {
			t.Errorf("unsealing %s: %+v, %v", c.Column, r, err)
		}
		for k, v := range s.values(t, c, keys[c.Table]) {
			if c.Values != "date" && before[c.Column][k] != v {
				t.Fatalf("unsealed, %s of %s is %q, and was %q", c.Column, k, v, before[c.Column][k])
			}
		}
	}
}

// TestBinds binds to their rows values that were sealed before their class said so.
func TestBinds(t *testing.T) {
	s := newSite(t, `
CREATE TABLE people (id int PRIMARY KEY, iban text);
INSERT INTO people SELECT i, 'iban ' || i FROM generate_series(1, 300) AS i;
`, `
  iban: {columns: [public.people.iban], seal: randomized, clear: accept}
`)
	c := s.column(t, "public.people.iban")
	if _, err := s.job(t).Migrate(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	was := s.values(t, c, "t.id")
	sealed, bound := *c.Sealed, *c
	sealed.Row, sealed.RowKey = true, []policy.KeyColumn{{Name: "id", Type: "int4"}}
	bound.Sealed = &sealed
	if census := s.count(t, &bound); census.Under[0].Unbound != 300 {
		t.Errorf("before: %+v", census)
	}
	if diff := cmp.Diff(was, s.values(t, &bound, "t.id")); diff != "" {
		t.Errorf("not bound yet: -want +got:\n%s", diff)
	}
	r, err := s.job(t).Rotate(t.Context(), &bound)
	if err != nil || r.Done != 300 || r.Census.Under[0].Unbound != 0 {
		t.Fatalf("binding: %+v, %v", r, err)
	}
	if diff := cmp.Diff(was, s.values(t, &bound, "t.id")); diff != "" {
		t.Errorf("bound: -want +got:\n%s", diff)
	}
	if census := s.count(t, c); census.Damaged != 300 {
		t.Errorf("without bind: row: %+v", census)
	}
	s.exec(t, "UPDATE people AS a SET iban = b.iban FROM people AS b WHERE a.id = 1 AND b.id = 2")
	w, err := s.ring.Sealer(bound.Sealed)
	if err != nil {
		t.Fatal(err)
	}
	var stored []byte
	if err := s.conn.QueryRow(t.Context(), "SELECT iban FROM people WHERE id = 1").Scan(&stored); err != nil {
		t.Fatal(err)
	}
	if _, err := w.At([]byte("1~")).Open(nil, stored); !errors.Is(err, seal.ErrDamaged) {
		t.Errorf("another row's value: %v", err)
	}
	if value, err := w.At([]byte("2~")).Open(nil, stored); err != nil || string(value) != "iban 2" {
		t.Errorf("in its own row: %q, %v", value, err)
	}
}
