package erasures_test

import (
	"context"
	"errors"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/pgveil/pgveil/erasures"
	"github.com/pgveil/pgveil/internal/pgserver"
	"github.com/pgveil/pgveil/internal/pgtest"
	"github.com/pgveil/pgveil/policy"
)

// TestReturned has persons come back under another key, and others get what was
// theirs: they are reported, and nothing is done about them.
func TestReturned(t *testing.T) {
	dsn := pgtest.Server(t).DSN(pgtest.Database(t, ""), pgserver.Superuser)
	o := newOffice(t, pgtest.Connect(t, dsn))
	o.erase(t, 8, false)
	o.erase(t, 9, true)
	query(t, o.conn, "INSERT INTO crm.customers VALUES (1001, ' CUSTOMER8@example.com', NULL), (1002, 'new@example.com', '0049/30/55508')")
	find := pgtest.Connect(t, dsn)
	got, err := o.Replay(t.Context(), find, erasures.Replaying{Subjects: kinds(t, o.conn), Erase: func(_ context.Context, _, key string, _ erasures.Entry) error {
		t.Errorf("%s is to be erased", key)
		return nil
	}})
	want := erasures.Replay{
		Read: 201, Found: map[string]int64{"customer": 0},
		Returned: []erasures.Returned{{Kind: "customer", Key: "1001", Column: "email", Entry: 2}, {Kind: "customer", Key: "1002", Column: "phone", Entry: 2}},
	}
	if diff := cmp.Diff(want, got); err != nil || diff != "" || !got.Complete() {
		t.Errorf("%v\n%s", err, diff)
	}
	query(t, o.conn, "UPDATE crm.customers SET email = 'customer9@EXAMPLE.com' WHERE id = 9")
	o.replay(t, find, o.conn, 9)
}

// TestReplayStops has the replay stopped, fail, and begun again.
func TestReplayStops(t *testing.T) {
	dsn := pgtest.Server(t).DSN(pgtest.Database(t, ""), pgserver.Superuser)
	o := newOffice(t, pgtest.Connect(t, dsn))
	for _, id := range []int{3, 5, 7, 11} {
		o.erase(t, id, false)
	}
	query(t, o.conn, "INSERT INTO crm.customers (id) VALUES (3), (5), (7), (11)")
	find := pgtest.Connect(t, dsn)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var order []string
	how := erasures.Replaying{Subjects: kinds(t, o.conn), Erase: func(_ context.Context, _, key string, _ erasures.Entry) error {
		order = append(order, key)
		if len(order) == 2 {
			cancel()
		}
		_, err := o.conn.Exec(context.Background(), "DELETE FROM crm.customers WHERE id = $1::text::bigint", key)
		return err
	}}
	if _, err := o.Replay(ctx, find, how); !errors.Is(err, context.Canceled) || len(order) != 2 {
		t.Errorf("stopped after %q: %v", order, err)
	}
	how.Erase = func(_ context.Context, _, key string, e erasures.Entry) error {
		if key == order[0] || key == order[1] {
			t.Errorf("%s is erased twice", key)
		}
		return errors.New("a hold")
	}
	got, err := o.Replay(t.Context(), find, how)
	if err != nil || len(got.Failed) != 2 || got.Complete() {
		t.Errorf("with a hold: %+v, %v", got, err)
	}
	left := slices.DeleteFunc([]int{3, 5, 7, 11}, func(id int) bool { return slices.Contains(order, strconv.Itoa(id)) })
	o.replay(t, find, o.conn, left...)
}

// TestBlind has entries that nobody can be looked for by: that is said.
func TestBlind(t *testing.T) {
	dsn := pgtest.Server(t).DSN(pgtest.Database(t, ""), pgserver.Superuser)
	o := newOffice(t, pgtest.Connect(t, dsn))
	o.erase(t, 3, false)
	lead := intention(99, "1")
	lead.Kind = "lead"
	must[erasures.Entry](t)(o.Intend(lead))
	query(t, o.conn, "INSERT INTO crm.customers (id) VALUES (3)")
	find, subjects := pgtest.Connect(t, dsn), kinds(t, o.conn)
	stranger, _ := opened(t, o.path, other)
	if got, err := stranger.Replay(t.Context(), find, erasures.Replaying{Subjects: subjects}); err != nil || got.Foreign != 2 || got.Found["customer"] != 0 || got.Complete() {
		t.Errorf("under another key: %+v, %v", got, err)
	}
	heir, _ := opened(t, o.path, other, key)
	if got, err := heir.Replay(t.Context(), find, erasures.Replaying{Subjects: subjects}); err != nil || got.Foreign != 0 || got.Found["customer"] != 1 || !slices.Equal(got.Unlooked, []string{"lead"}) || got.Complete() {
		t.Errorf("with the key before: %+v, %v", got, err)
	}
}

// TestLost has the ledger's file lost: the database tells.
func TestLost(t *testing.T) {
	dsn := pgtest.Server(t).DSN(pgtest.Database(t, ""), pgserver.Superuser)
	o := newOffice(t, pgtest.Connect(t, dsn))
	o.erase(t, 3, false)
	o.erase(t, 4, false)
	fresh := &office{conn: o.conn}
	fresh.Ledger, _ = opened(t, filepath.Join(t.TempDir(), "ledger"), key)
	fresh.erase(t, 5, false)
	s, err := fresh.Compare(t.Context(), o.conn)
	if err != nil || s.Restored() || len(s.Unknown) != 2 {
		t.Errorf("a ledger that was lost: %+v, %v", s, err)
	}
}

// TestKeys has subjects whose keys and identifiers are of other types, in tables
// of other kinds: what Find reads Replay finds, whatever the session's settings.
func TestKeys(t *testing.T) {
	dsn := pgtest.Server(t).DSN(pgtest.Database(t, ""), pgserver.Superuser)
	conn := pgtest.Connect(t, dsn)
	query(t, conn, `CREATE SCHEMA crm; CREATE EXTENSION citext SCHEMA public;
		CREATE DOMAIN crm.mail AS public.citext;
		CREATE TABLE crm.customers (id timestamptz, email crm.mail, phone char(20), PRIMARY KEY (id)) PARTITION BY RANGE (id);
		CREATE TABLE crm.customers_1 PARTITION OF crm.customers DEFAULT;
		INSERT INTO crm.customers SELECT '2020-01-01 10:00+01'::timestamptz + g * '1 hour'::interval, 'A' || g || '@example.com', '030 55550' || g FROM generate_series(1, 9) AS g`)
	l, _ := opened(t, filepath.Join(t.TempDir(), "ledger"), key)
	subject := kinds(t, conn)[0]
	for _, settings := range []string{"SET TimeZone = 'Asia/Tokyo'; SET DateStyle = 'German'; SET search_path = crm", "RESET ALL"} {
		query(t, conn, settings)
		person, err := erasures.Find(t.Context(), conn, subject, nil, "2020-01-01 14:00:00+01")
		if err != nil || person.Key != "2020-01-01 13:00:00+00" || person.Identifiers[0] != "A4@example.com" || strings.TrimSpace(person.Identifiers[1]) != "030 555504" {
			t.Fatalf("%+v, %v", person, err)
		}
		must[erasures.Entry](t)(l.Intend(erasures.Intention{Request: 1, Person: person, Database: place}))
		got, err := l.Replay(t.Context(), conn, erasures.Replaying{Subjects: []policy.Subject{subject}})
		if err != nil || got.Found["customer"] != 1 || got.Read != 9 {
			t.Errorf("%+v, %v", got, err)
		}
	}
	for _, key := range []string{"2021-01-01 14:00:00+01", "nonsense"} {
		if _, err := erasures.Find(t.Context(), conn, subject, nil, key); err == nil || strings.Contains(err.Error(), key) {
			t.Errorf("%s: %v", key, err)
		}
	}
}

// TestTenants has keys that are a part of a primary key: another tenant's person
// with the same number is somebody else.
func TestTenants(t *testing.T) {
	conn := pgtest.Connect(t, pgtest.Server(t).DSN(pgtest.Database(t, ""), pgserver.Superuser))
	query(t, conn, `CREATE SCHEMA crm; CREATE TABLE crm.customers (tenant int, id int, email text, phone text, PRIMARY KEY (tenant, id));
		INSERT INTO crm.customers VALUES (7, 1, 'ada@example.com'), (8, 1, 'bob@example.com'), (8, 2, 'cyd@example.com')`)
	l, _ := opened(t, filepath.Join(t.TempDir(), "ledger"), key)
	subject := kinds(t, conn)[0]
	if p, err := erasures.Find(t.Context(), conn, subject, nil, "1"); err == nil || !strings.Contains(err.Error(), "2 have this id") {
		t.Errorf("one of two: %+v, %v", p, err)
	}
	person, err := erasures.Find(t.Context(), conn, subject, nil, "7", "1")
	if err != nil || !slices.Equal(person.Identifiers, []string{"ada@example.com"}) {
		t.Fatalf("%+v, %v", person, err)
	}
	must[erasures.Entry](t)(l.Intend(erasures.Intention{Request: 1, Person: person, Database: place}))
	query(t, conn, "DELETE FROM crm.customers WHERE tenant = 7")
	for _, found := range []int64{0, 1} {
		got, err := l.Replay(t.Context(), conn, erasures.Replaying{Subjects: []policy.Subject{subject}})
		if err != nil || got.Found["customer"] != found {
			t.Errorf("found %+v, want %d, %v", got, found, err)
		}
		query(t, conn, "INSERT INTO crm.customers VALUES (7, 1, 'ada@example.com') ON CONFLICT DO NOTHING")
	}
	if p, err := erasures.Find(t.Context(), conn, subject, nil, "2"); err != nil || p.Key != "{8,2}" {
		t.Errorf("%+v, %v", p, err)
	}
}

// TestHeirs has somebody in a table that inherits from that of their kind.
func TestHeirs(t *testing.T) {
	conn := pgtest.Connect(t, pgtest.Server(t).DSN(pgtest.Database(t, ""), pgserver.Superuser))
	query(t, conn, `CREATE SCHEMA crm; CREATE TABLE crm.customers (id int PRIMARY KEY, email text, phone text); CREATE TABLE crm.partners (level int) INHERITS (crm.customers);
		INSERT INTO crm.customers VALUES (1, 'ada@example.com'); INSERT INTO crm.partners VALUES (2, 'bob@example.com')`)
	l, _ := opened(t, filepath.Join(t.TempDir(), "ledger"), key)
	subject := kinds(t, conn)[0]
	person, err := erasures.Find(t.Context(), conn, subject, nil, "2")
	if err != nil || !slices.Equal(person.Identifiers, []string{"bob@example.com"}) {
		t.Fatalf("%+v, %v", person, err)
	}
	must[erasures.Entry](t)(l.Intend(erasures.Intention{Request: 1, Person: person, Database: place}))
	if got, err := l.Replay(t.Context(), conn, erasures.Replaying{Subjects: []policy.Subject{subject}}); err != nil || got.Found["customer"] != 1 || got.Read != 2 {
		t.Errorf("%+v, %v", got, err)
	}
}

// TestHiddenRows has a row policy in the way: nobody is passed over in silence.
func TestHiddenRows(t *testing.T) {
	server := pgtest.Server(t)
	database := pgtest.Database(t, "")
	admin := pgtest.Connect(t, server.DSN(database, pgserver.Superuser))
	o := newOffice(t, admin)
	o.erase(t, 3, false)
	query(t, admin, `DO $$ BEGIN IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'looker') THEN CREATE ROLE looker LOGIN; END IF; END $$;
		GRANT USAGE ON SCHEMA crm TO looker; GRANT SELECT ON crm.customers TO looker;
		ALTER TABLE crm.customers ENABLE ROW LEVEL SECURITY; CREATE POLICY few ON crm.customers USING (id < 3)`)
	looker := pgtest.Connect(t, server.DSN(database, "looker"))
	if got, err := o.Replay(t.Context(), looker, erasures.Replaying{Subjects: kinds(t, admin)}); err == nil || !strings.Contains(err.Error(), "row-level security") {
		t.Errorf("%+v, %v", got, err)
	}
}
