package retention_test

import (
	"context"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/pgveil/pgveil/catalog"
	"github.com/pgveil/pgveil/dsar"
	"github.com/pgveil/pgveil/internal/pgtest"
	"github.com/pgveil/pgveil/privacy"
	"github.com/pgveil/pgveil/retention"
)

// able is what cmd gives a run, without an access log.
func (s *site) able() retention.Able {
	return retention.Able{
		Anonymise: func(ctx context.Context, tx pgx.Tx, r *catalog.Relation, rows int64) (columns, values []string, err error) {
			return dsar.Anonymising(ctx, tx, s.set, s.values, r, rows)
		},
		Erase: func(ctx context.Context, conn *pgx.Conn, subject, key string, number int64, still func(context.Context, pgx.Tx) error) (int64, error) {
			g, err := dsar.NewGraph(s.set, s.cat, subject)
			if err != nil {
				return 0, err
			}
			g.Values = s.values
			o := dsar.EraseOptions{Request: number, Key: privacy.Key{Values: []string{key}}, Still: still, Record: func(context.Context, dsar.ErasureStep) error { return nil }}
			if o.Plan, err = dsar.PlanErasure(ctx, conn, g, o.Key); err != nil || o.Plan.Rows() == 0 && !o.Plan.Refused() {
				return 0, err
			}
			done, err := dsar.Erase(ctx, conn, g, o)
			return done.Rows, err
		},
	}
}

func (s *site) runAble(t *testing.T) retention.Result {
	t.Helper()
	var recorded []retention.Batch
	o := s.options(&recorded)
	o.Able = s.able()
	r, err := retention.Run(t.Context(), pgtest.Connect(t, s.dsn), o)
	if err != nil {
		t.Fatalf("%v: %+v", err, r)
	}
	return r
}

// TestAnonymises has rows that stay without what tells of anybody; one that somebody
// changes afterwards is anonymised again, the others are left alone.
func TestAnonymises(t *testing.T) {
	s := newSite(t, crm+`
		CREATE TABLE crm.visits (id int PRIMARY KEY, email text UNIQUE NOT NULL, page text, seen_at timestamp);
		INSERT INTO crm.visits SELECT g, 'ada' || g || '@example.com', '/', now() - g * interval '100 days' FROM generate_series(1, 5) AS g`,
		customers+"classes: {open: [crm.visits.id, crm.visits.page, crm.visits.seen_at], email: [crm.visits.email]}\n"+
			"retention: [{on: crm.visits, keep: 250d, after: seen_at, then: anonymise}]\n")
	plan, err := retention.NewPlan(t.Context(), s.conn, s.set, s.cat, s.able())
	if err != nil || plan.Rules[0].Due != 3 || len(plan.Rules[0].Refused) > 0 {
		t.Errorf("%v, %+v", err, plan)
	}
	if refused := s.plan(t).Rules[0].Refused; len(refused) != 1 {
		t.Errorf("without a way to anonymise it is refused for %q", refused)
	}
	for _, want := range []int64{3, 0} {
		if r := s.runAble(t); r.Rows() != want || r.Rules[0].Due != 0 {
			t.Errorf("%+v, want %d rows", r, want)
		}
	}
	if got := s.ids(t, "SELECT id FROM crm.visits WHERE email LIKE '%@example.com' ORDER BY id"); got != "1 2" {
		t.Errorf("the addresses of %s are still there", got)
	}
	if got := s.ids(t, "SELECT count(DISTINCT email) FROM crm.visits"); got != "5" {
		t.Errorf("%s addresses differ", got)
	}
	s.exec(t, "UPDATE crm.visits SET email = 'bob@example.com' WHERE id = 4")
	if r := s.runAble(t); r.Rows() != 1 {
		t.Errorf("after one was written again: %+v", r)
	}
	// A dump may be loaded in one transaction, and all rows have one xmin then.
	s.exec(t, "BEGIN; UPDATE pgveil.retention_batches SET batch = batch; UPDATE crm.visits SET email = 'cyd@example.com' WHERE id = 5; COMMIT")
	if r := s.runAble(t); r.Rows() != 3 || s.ids(t, "SELECT count(*) FROM crm.visits WHERE email LIKE 'cyd%'") != "0" {
		t.Errorf("after a dump was loaded: %+v", r)
	}
	s.exec(t, "INSERT INTO pgveil.holds (kind, key, relation, matter, made_by, ends_at) VALUES ('', '', 'crm.visits', 'case', 'olga', 'infinity'); UPDATE crm.visits SET email = 'bob@example.com' WHERE id = 4")
	if r := s.runAble(t); r.Rows() != 0 {
		t.Errorf("what is held was anonymised: %+v", r)
	}
}

// TestSubjectsGo erases customers as wholes, unless something of theirs is newer.
func TestSubjectsGo(t *testing.T) {
	s := newSite(t, crm+`
		UPDATE crm.customers SET seen = now() - interval '11 years' WHERE id <= 5;
		INSERT INTO crm.tickets VALUES (1, 1, 'closed', now() - interval '12 years'), (2, 2, 'closed', now() - interval '1 year'), (3, 3, 'closed', NULL), (4, 4, 'closed', now() - interval '12 years');
		INSERT INTO crm.comments VALUES (1, 1, 1), (2, 4, 4)`,
		`subjects: {customer: {table: crm.customers, key: id}}
classes: {open: [crm.customers.*, crm.tickets.*, crm.comments.*, crm.calls.*, crm.files.*]}
retention: [{subject: customer, keep: 10y, after: seen, then: delete, unless: [{on: crm.tickets, after: closed_at}]}]
`)
	s.exec(t, "INSERT INTO pgveil.holds (kind, key, relation, matter, made_by, ends_at) VALUES ('customer', '4', '', 'case', 'olga', 'infinity')")
	plan, err := retention.NewPlan(t.Context(), s.conn, s.set, s.cat, s.able())
	// 2 has a newer ticket, 3 one that nobody knows the end of, 4 is held.
	if p := plan.Rules[0]; err != nil || p.Due != 3 || p.Held != 1 || len(p.Refused) > 0 {
		t.Fatalf("%v, %+v", err, p)
	}
	r := s.runAble(t)
	if got := s.ids(t, "SELECT id FROM crm.customers ORDER BY id"); got != "2 3 4 6 7 8 9" {
		t.Errorf("customers left: %s, by %+v", got, r)
	}
	if got := s.ids(t, "SELECT id FROM crm.tickets ORDER BY id") + "," + s.ids(t, "SELECT id FROM crm.comments"); got != "2 3 4,2" {
		t.Errorf("of theirs are left: %s", got)
	}
	if got := s.ids(t, "SELECT action || ' ' || rows FROM pgveil.retention_batches ORDER BY batch"); got != "erase 3 erase 1" {
		t.Errorf("the journal has %s", got)
	}
	if again := s.runAble(t); again.Rows() != 0 {
		t.Errorf("a second run did %+v", again)
	}
	if p := s.plan(t).Rules[0]; !strings.Contains(strings.Join(p.Refused, ""), "not available") {
		t.Errorf("without a way to erase it is refused for %q", p.Refused)
	}
}

// TestSubjectComesBack has a subject come back while others that were due with it
// go: it stays, as does one of which something is newer by then.
func TestSubjectComesBack(t *testing.T) {
	s := newSite(t, crm+`UPDATE crm.customers SET seen = now() - interval '11 years' WHERE id <= 4`,
		`subjects: {customer: {table: crm.customers, key: id}}
classes: {open: [crm.customers.*, crm.tickets.*, crm.comments.*, crm.calls.*, crm.files.*]}
retention: [{subject: customer, keep: 10y, after: seen, then: delete, unless: [{on: crm.tickets, after: closed_at}]}]
`)
	var recorded []retention.Batch
	o := s.options(&recorded)
	o.Able, o.Batch = s.able(), 4
	o.Record = func(context.Context, retention.Batch) error {
		s.exec(t, "UPDATE crm.customers SET seen = now() WHERE id = 3; INSERT INTO crm.tickets SELECT 1, id, 'open', NULL FROM crm.customers WHERE id = 4 ON CONFLICT DO NOTHING")
		return nil
	}
	r, err := retention.Run(t.Context(), pgtest.Connect(t, s.dsn), o)
	if got := s.ids(t, "SELECT id FROM crm.customers ORDER BY id"); err != nil || got != "3 4 5 6 7 8 9" {
		t.Errorf("customers left: %s, by %+v, %v", got, r, err)
	}
}

// TestTriggersKeepValues has triggers that undo what a rule does, or hide that it is
// not done: nothing is written down as done.
func TestTriggersKeepValues(t *testing.T) {
	for _, tt := range []struct{ name, when, body, want string }{
		{"the value", "BEFORE", "NEW.email := OLD.email; RETURN NEW;", "a trigger does not let it be anonymised"},
		{"another row", "AFTER", "IF pg_trigger_depth() = 1 THEN UPDATE crm.visits SET page = page WHERE id > NEW.id; END IF; RETURN NULL;", "a trigger writes rows of it"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := newSite(t, crm+`
				CREATE TABLE crm.visits (id int PRIMARY KEY, email text, page text, seen_at timestamp);
				INSERT INTO crm.visits SELECT g, 'ada' || g || '@example.com', '/', now() - interval '1 year' FROM generate_series(1, 3) AS g;
				CREATE FUNCTION crm.f() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN `+tt.body+` END $$;
				CREATE TRIGGER t `+tt.when+` UPDATE ON crm.visits FOR EACH ROW EXECUTE FUNCTION crm.f()`,
				customers+"classes: {open: [crm.visits.id, crm.visits.page, crm.visits.seen_at], email: [crm.visits.email]}\n"+
					"retention: [{on: crm.visits, keep: 250d, after: seen_at, then: anonymise}]\n")
			var recorded []retention.Batch
			o := s.options(&recorded)
			o.Able = s.able()
			r, err := retention.Run(t.Context(), pgtest.Connect(t, s.dsn), o)
			if err == nil || !strings.Contains(r.Rules[0].Error, tt.want) {
				t.Errorf("%+v, %v, want %q", r, err, tt.want)
			}
			if got := s.ids(t, "SELECT count(*) FROM crm.visits WHERE email LIKE 'ada%'") + s.ids(t, "SELECT count(*) FROM pgveil.retention_batches"); got != "30" || recorded != nil {
				t.Errorf("addresses and batches: %s, recorded %v", got, recorded)
			}
		})
	}
}

// TestNothingIsTold has a trigger raise values, as messages and as names; and looks
// for those of rows that are gone in an index.
func TestNothingIsTold(t *testing.T) {
	s := newSite(t, crm+`
		CREATE EXTENSION pageinspect;
		CREATE TABLE crm.visits (id int PRIMARY KEY, email text UNIQUE, seen_at timestamp);
		INSERT INTO crm.visits SELECT g, 'mail' || g || '@x', now() - g * interval '1 minute' FROM generate_series(0, 9999) AS g;
		UPDATE crm.visits SET seen_at = now() - interval '1 year' WHERE id = 1;
		CREATE FUNCTION crm.f() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION USING MESSAGE = OLD.email, ERRCODE = 'AB123', CONSTRAINT = OLD.email; END $$;
		CREATE TRIGGER t BEFORE DELETE ON crm.visits FOR EACH ROW EXECUTE FUNCTION crm.f()`,
		customers+"retention: [{on: crm.visits, keep: 250d, after: seen_at, then: delete}]\n")
	var recorded []retention.Batch
	r, err := retention.Run(t.Context(), pgtest.Connect(t, s.dsn), s.options(&recorded))
	if said := r.Rules[0].Error; err == nil || !strings.Contains(said, "AB123") || strings.Contains(said, "mail1") {
		t.Errorf("%v, %q", err, said)
	}
	s.exec(t, "DROP TRIGGER t ON crm.visits")
	s.run(t)
	if n := s.ids(t, `SELECT count(*) FROM generate_series(1, (pg_relation_size('crm.visits_email_key') / 8192 - 1)::int) AS b, bt_page_items('crm.visits_email_key', b)
		WHERE replace(data, ' ', '') LIKE '%' || encode('mail1@x', 'hex') || '%'`); n != "0" {
		t.Errorf("%s entries of the index have the address", n)
	}
}
