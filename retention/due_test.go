package retention_test

import "testing"

// TestWhenDue has moments around that at which a day's keeping is over. What has no
// time zone is of the place where its time comes last: twelve hours behind UTC.
func TestWhenDue(t *testing.T) {
	for _, tt := range []struct{ typ, after, due string }{
		{"timestamptz", "now() - interval '24 hours 1 second'", "1"},
		{"timestamptz", "now() - interval '23 hours 59 minutes'", "0"},
		{"timestamp", "(now() AT TIME ZONE 'UTC') - interval '36 hours 1 second'", "1"},
		{"timestamp", "(now() AT TIME ZONE 'UTC') - interval '35 hours 59 minutes'", "0"},
		{"date", "((now() AT TIME ZONE 'UTC') - interval '12 hours')::date - 2", "1"},
		{"date", "((now() AT TIME ZONE 'UTC') - interval '12 hours')::date - 1", "0"},
		{"timestamptz", "NULL", "0"}, {"timestamp", "'infinity'", "0"}, {"date", "'-infinity'", "0"},
		{"crm.moment", "now() - interval '25 hours'", "1"},
	} {
		t.Run(tt.typ+" "+tt.after, func(t *testing.T) {
			t.Parallel()
			s := newSite(t, "CREATE DOMAIN crm.moment AS timestamptz; CREATE TABLE crm.t (id int PRIMARY KEY, at "+tt.typ+"); INSERT INTO crm.t VALUES (1, "+tt.after+")",
				"retention: [{on: crm.t, keep: 1d, after: at, then: delete}]\n")
			s.exec(t, "SET TimeZone = 'Pacific/Auckland'")
			if got := s.ids(t, "SELECT $1::bigint", s.plan(t).Rules[0].Due); got != tt.due {
				t.Errorf("%s are due, want %s", got, tt.due)
			}
			s.run(t)
			if got := s.ids(t, "SELECT 1 - count(*) FROM crm.t"); got != tt.due {
				t.Errorf("%s went, want %s", got, tt.due)
			}
		})
	}
}

const newsletter = "purposes: {marketing: {basis: consent, consent: newsletter}, support: {basis: contract}}\n"

// TestConsentWithdrawn has customers who gave and withdrew consents, in a table of
// the database's.
func TestConsentWithdrawn(t *testing.T) {
	s := newSite(t, crm+`
		CREATE TABLE crm.consents (customer_id int, purpose text, given_at timestamptz, withdrawn_at timestamptz);
		CREATE TABLE crm.opens (id int PRIMARY KEY, customer_id int REFERENCES crm.customers, shared_with int REFERENCES crm.customers);
		INSERT INTO crm.opens SELECT g, g FROM generate_series(1, 7) AS g;
		INSERT INTO crm.opens VALUES (8, 2, 1), (9, 2, 4), (10, NULL, NULL);
		INSERT INTO crm.consents VALUES
			(1, 'newsletter', now() - interval '9 days', NULL),
			(2, 'newsletter', now() - interval '9 days', now() - interval '8 days'),
			(3, 'newsletter', now() - interval '9 days', now() - interval '1 hour'),
			(4, 'newsletter', now() - interval '9 days', now() - interval '8 days'),
			(5, 'newsletter', now() - interval '9 days', now() - interval '8 days'), (5, 'newsletter', now() - interval '7 days', NULL),
			(6, 'offers', now() - interval '9 days', now() - interval '8 days')`,
		newsletter+"subjects: {customer: {table: crm.customers, key: id, consent: {table: crm.consents, subject: customer_id, purpose: purpose, given: given_at, withdrawn: withdrawn_at}}}\n"+
			"retention: [{consent_withdrawn: delete, purpose: marketing, on: crm.opens, keep: 7d}]\n")
	s.run(t)
	// Of those who never consented, 7, nothing was withdrawn; 8 is 1's as well.
	if got := s.ids(t, "SELECT id FROM crm.opens ORDER BY id"); got != "1 3 5 6 7 8 10" {
		t.Errorf("left are %s", got)
	}
}

// TestConsentInLedger has the same in pgveil's ledger.
func TestConsentInLedger(t *testing.T) {
	s := newSite(t, crm+`
		CREATE TABLE crm.opens (id int PRIMARY KEY, customer_id int REFERENCES crm.customers);
		INSERT INTO crm.opens SELECT g, g FROM generate_series(1, 5) AS g`,
		newsletter+"subjects: {customer: {table: crm.customers, key: id, ledger: true}}\n"+
			"retention: [{consent_withdrawn: delete, purpose: marketing, on: crm.opens}]\n")
	for i, key := range []string{"1", "2", "3"} {
		s.exec(t, `INSERT INTO pgveil.consent_events (seq, record_id, schema_version, subject_kind, subject_key, event_time, event_type, event_state, consent, purposes, entity_id, previous, digest)
			VALUES ($1::bigint, gen_random_uuid(), 'v', $3, $2, now() - interval '1 hour', 'withdrawn', 'withdrawn', 'newsletter', '{}', 'olga', int8send($1::bigint), sha256(int8send($1::bigint)))`,
			i+1, key, map[bool]string{true: "contact", false: "customer"}[key == "3"])
	}
	// 2 consents again, 4's consent has lapsed, 5's has not.
	s.exec(t, `INSERT INTO pgveil.customer_consents (subject, consent, until, given, record) SELECT k, 'newsletter', now() + u, now(), gen_random_uuid()
		FROM (VALUES (2, interval '1 day'), (4, interval '-1 day'), (5, interval '1 day')) AS c (k, u)`)
	s.run(t)
	if got := s.ids(t, "SELECT id FROM crm.opens ORDER BY id"); got != "2 3 5" {
		t.Errorf("left are %s", got)
	}
}

// TestManyShapes has tables that are not plain: partitions, one without a key, and
// one whose names need quotes.
func TestManyShapes(t *testing.T) {
	s := newSite(t, `
		CREATE TABLE crm.events (id int, at date, kind text) PARTITION BY RANGE (at);
		CREATE TABLE crm.events_old PARTITION OF crm.events FOR VALUES FROM ('2000-01-01') TO ('2010-01-01');
		CREATE TABLE crm.events_new PARTITION OF crm.events FOR VALUES FROM ('2010-01-01') TO ('2100-01-01');
		INSERT INTO crm.events SELECT g, date '2009-12-30' + g, 'a''b' FROM generate_series(1, 6) AS g;
		CREATE TABLE crm."Odd ""one"" $1" ("the id" int PRIMARY KEY, "at'" timestamptz, "where" text);
		INSERT INTO crm."Odd ""one"" $1" SELECT g, now() - g * interval '1 day', 'x; --' FROM generate_series(0, 5) AS g`,
		`retention:
  - {on: crm.events, keep: 10y, after: at, then: delete, where: "kind = 'a''b' AND id <> 6"}
  - {on: 'crm."Odd ""one"" $1"', keep: 2d, after: "\"at'\"", then: delete, where: "\"where\" = 'x; --' /* all */"}
`)
	r, recorded := s.run(t)
	if got := s.ids(t, "SELECT id FROM crm.events") + "," + s.ids(t, `SELECT "the id" FROM crm."Odd ""one"" $1"`); got != "6,0 1" {
		t.Errorf("left are %s, by %+v", got, r)
	}
	if len(recorded) != 5 {
		t.Errorf("%d batches were recorded", len(recorded))
	}
}

// TestLockedRows has rows that somebody else has locked: they are left for the next
// run, and keep nobody waiting.
func TestLockedRows(t *testing.T) {
	s := newSite(t, crm+old, threeYears)
	tx, err := s.conn.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	s.exec(t, "SELECT FROM crm.tickets WHERE id = 3 FOR UPDATE")
	if r, _ := s.run(t); r.Rows() != 4 || r.Rules[0].Left != 1 {
		t.Errorf("with one locked: %+v", r)
	}
	// Whoever changes a row meanwhile so that it is not due any more keeps it.
	s.exec(t, "UPDATE crm.tickets SET closed_at = now() WHERE id = 3")
	if err := tx.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	if r, _ := s.run(t); r.Rows() != 0 || r.Rules[0].Due != 0 {
		t.Errorf("after it was changed: %+v", r)
	}
}

// TestHoldsByOtherReferences has holds over subjects whom rows name in other ways than
// by a foreign key.
func TestHoldsByOtherReferences(t *testing.T) {
	s := newSite(t, crm+`
		CREATE TABLE crm.notes (id int PRIMARY KEY, owner_type text, owner_id int, at date);
		CREATE TABLE crm.events (id int PRIMARY KEY, payload jsonb, at date);
		CREATE TABLE crm.links (event_id int REFERENCES crm.events ON DELETE CASCADE, order_no text);
		CREATE TABLE crm.orders (no text PRIMARY KEY, customer_id int REFERENCES crm.customers);
		INSERT INTO crm.notes VALUES (1, 'customer', 3, '2000-01-01'), (2, 'company', 3, '2000-01-01'), (3, 'customer', 4, '2000-01-01');
		INSERT INTO crm.events VALUES (1, '{"customer": {"id": 3}}', '2000-01-01'), (2, '{"customer": {"id": 4}}', '2000-01-01'), (3, '[]', '2000-01-01');
		INSERT INTO crm.orders VALUES ('A', 3), ('B', 4);
		INSERT INTO crm.links VALUES (2, 'B'), (3, 'A')`, `
subjects:
  customer:
    table: crm.customers
    key: id
    references:
      - {from: crm.notes.owner_id, where: {owner_type: customer}}
      - {from: crm.events.payload, path: customer.id}
      - {from: crm.links.order_no, to: crm.orders.no}
retention:
  - {on: [crm.notes, crm.events], keep: 1y, after: at, then: delete}
`)
	s.exec(t, "INSERT INTO pgveil.holds (kind, key, relation, matter, made_by, ends_at) VALUES ('customer', '3', '', 'case', 'olga', 'infinity')")
	for _, p := range s.plan(t).Rules {
		if len(p.Refused) > 0 {
			t.Errorf("%s is refused: %q", p.Rule, p.Refused)
		}
	}
	s.run(t)
	if got := s.ids(t, "SELECT id FROM crm.notes") + "," + s.ids(t, "SELECT id FROM crm.events ORDER BY id"); got != "1,1 3" {
		t.Errorf("left are %s", got)
	}
}
