package dsar

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"

	"github.com/pgveil/pgveil/audit"
	"github.com/pgveil/pgveil/internal/pgserver"
	"github.com/pgveil/pgveil/internal/pgtest"
	"github.com/pgveil/pgveil/policy"
	"github.com/pgveil/pgveil/privacy"
)

const rectifyScript = `
	CREATE DOMAIN mail AS text CHECK (VALUE LIKE '%@%');
	CREATE TABLE customers (id int PRIMARY KEY, email mail UNIQUE, phone varchar(12), born date, credit numeric(8,2), name text NOT NULL,
		upper_name text GENERATED ALWAYS AS (upper(name)) STORED, CHECK (born < '2020-01-01'), CHECK (name <> phone));
	CREATE TABLE contacts (id int PRIMARY KEY, customer_id int NOT NULL REFERENCES customers, phone text, extra jsonb);
	CREATE TABLE transfers (id int PRIMARY KEY, payer_id int NOT NULL REFERENCES customers, payee_id int NOT NULL REFERENCES customers, note text);
	CREATE TABLE gifts (id int PRIMARY KEY, giver_id int NOT NULL REFERENCES customers, taker_id int REFERENCES customers, taker_name text, note text);
	CREATE TABLE visits (customer_id int REFERENCES customers ON DELETE SET NULL, browser text);
	CREATE TABLE heap (customer_id int NOT NULL REFERENCES customers, n int, note text);
	CREATE TABLE ruled (customer_id int NOT NULL REFERENCES customers, note text);
	CREATE RULE no AS ON UPDATE TO ruled DO INSTEAD NOTHING;
	CREATE TABLE parted (id int, customer_id int NOT NULL REFERENCES customers, note text, PRIMARY KEY (id)) PARTITION BY LIST (id);
	CREATE TABLE parted_1 PARTITION OF parted FOR VALUES IN (1);
	CREATE TABLE notes (id int PRIMARY KEY, owner_type text, owner_id int, note text);
	INSERT INTO notes VALUES (1, 'customer', 1, 'a'), (2, 'company', 1, 'b');
	INSERT INTO customers VALUES (1, 'ada@example.com', '555', '1990-01-01', 1, 'Ada'), (2, 'bob@example.com', '556', NULL, 2, 'Bob');
	INSERT INTO contacts VALUES (1, 1, '555', '{}'), (2, 1, '777', NULL), (3, 2, '555', NULL);
	INSERT INTO transfers VALUES (1, 1, 2, 'x'), (2, 1, 1, 'y');
	INSERT INTO gifts VALUES (1, 1, 2, 'Bob', 'n'), (2, 1, NULL, NULL, 'n');
	INSERT INTO visits VALUES (1, 'lynx'); INSERT INTO heap VALUES (1, 1, 'a'), (1, 2, 'b'); INSERT INTO ruled VALUES (1, 'a'); INSERT INTO parted VALUES (1, 1, 'a')`

const rectifyPolicy = `version: 1
mode: enforce
subjects: {customer: {table: public.customers, key: id, find_by: [email], references: [{from: public.notes.owner_id, where: {owner_type: customer}}]}}
classes:
  open: ["public.*.*"]
  phone: ["public.*.phone"]
  name: [public.customers.name, public.customers.upper_name]
`

func rectifyScene(t *testing.T, more string) (*pgx.Conn, *Graph, string) {
	t.Helper()
	name := pgtest.Database(t, "")
	dsn := pgtest.Server(t).DSN(name, pgserver.Superuser)
	conn := pgtest.Connect(t, dsn)
	if _, err := conn.Exec(t.Context(), rectifyScript+"; "+more); err != nil {
		t.Fatal(err)
	}
	doc, err := policy.Parse(policy.File{Name: "p.yaml", Text: rectifyPolicy})
	if err != nil {
		t.Fatal(err)
	}
	g, err := compile(t, conn, doc, "customer")
	if err != nil {
		t.Fatal(err)
	}
	return conn, g, dsn
}

func recordNothing(context.Context, []RectifiedRow) error { return nil }

func TestRectify(t *testing.T) {
	conn, g, _ := rectifyScene(t, "")
	sealer, err := audit.NewSealer(t.TempDir(), "test/audit", bytes.Repeat([]byte{7}, 32))
	if err != nil {
		t.Fatal(err)
	}
	var sealed []audit.Record
	done, err := Rectify(t.Context(), conn, g, byKey("1"), []Change{
		{Table: "public.customers", Column: "phone", Value: "+353-9998887"},
		{Table: "public.customers", Column: "name", Value: `O'Ada "x" \ ; --`},
		{Table: "public.customers", Column: "credit", Value: "1.5"},
		{Table: "public.customers", Column: "born", Null: true},
		{Table: "public.contacts", Row: byKey("2"), Column: "extra", Value: `{"a": "\\u0041"}`},
		{Table: "public.heap", Row: privacy.Key{Column: "n", Values: []string{"2"}}, Column: "note", Value: ""},
		{Table: "public.parted", Column: "note", Value: "z"},
	}, RectifyOptions{Record: func(_ context.Context, rows []RectifiedRow) error {
		for _, row := range rows {
			r := audit.Record{Kind: audit.KindImages, Relation: row.Table}
			if err := sealer.SealImages(time.Now(), &r, row.Images()); err != nil {
				return err
			}
			sealed = append(sealed, r)
		}
		return nil
	}})
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, r := range done.Rows {
		got = append(got, fmt.Sprintf("%s%v%v", r.Table, r.Columns, r.Altered))
	}
	want := []string{"public.customers[phone name credit born][]", "public.contacts[extra][]", "public.heap[note][]", "public.parted[note][]"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("rows: -want +got:\n%s", diff)
	}
	if diff := cmp.Diff([]Copy{{"public.customers.phone", "public.contacts", "phone", 1}}, done.Copies); diff != "" {
		t.Errorf("copies: -want +got:\n%s", diff)
	}
	is := query[string](t, conn, "SELECT concat_ws('|', phone, name, credit, coalesce(born::text, 'NULL'), upper_name) FROM customers WHERE id = 1")
	if want := `+353-9998887|O'Ada "x" \ ; --|1.50|NULL|O'ADA "X" \ ; --`; is[0] != want {
		t.Errorf("the customer is %s, want %s", is[0], want)
	}
	opened, err := sealer.OpenImages(&sealed[0])
	if err != nil {
		t.Fatal(err)
	}
	if v := opened[0]; string(v.Key["id"]) != "1" || string(v.Before["phone"]) != `"555"` || string(v.After["phone"]) != `"+353-9998887"` || string(v.After["born"]) != "null" || v.After["email"] != nil {
		t.Errorf("the trail is %+v", v)
	}
	if strings.Contains(fmt.Sprintf("%+v", sealed), "+353-9998887") || strings.Contains(fmt.Sprint(done.Copies), "555") {
		t.Error("values can be read without a key")
	}
}

func TestRectifyRefuses(t *testing.T) {
	conn, g, _ := rectifyScene(t, `
		CREATE FUNCTION secret() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN IF NEW.note = 'raise' THEN RAISE 'private %', NEW.note USING ERRCODE = '42501'; END IF;
			IF NEW.note = 'skip' THEN RETURN NULL; END IF; IF NEW.note = 'back' THEN NEW.note := OLD.note; END IF; RETURN NEW; END $$;
		CREATE TRIGGER secret BEFORE UPDATE ON heap FOR EACH ROW EXECUTE FUNCTION secret()`)
	customers := func(column, value string) []Change {
		return []Change{{Table: "public.customers", Column: column, Value: value}}
	}
	heap := func(value string) []Change {
		return []Change{{Table: "public.heap", Row: privacy.Key{Column: "n", Values: []string{"1"}}, Column: "note", Value: value}}
	}
	before := query[string](t, conn, "SELECT md5(string_agg(c::text, ',' ORDER BY id)) FROM customers AS c")
	for _, tt := range []struct {
		name, want string
		changes    []Change
	}{
		{"nothing", "nothing is to be changed", nil},
		{"a table elsewhere", "no rows of a customer lie", []Change{{Table: "pg_catalog.pg_class", Column: "relname"}}},
		{"no such column", "has no column", customers("mail", "")},
		{"a key", "part of a key", customers("id", "9")},
		{"a generated column", "computed by the server", customers("upper_name", "x")},
		{"a reference", "to which other row", []Change{{Table: "public.contacts", Row: byKey("1"), Column: "customer_id", Value: "2"}}},
		{"what says whose a row is", "to which other row", []Change{{Table: "public.notes", Row: byKey("1"), Column: "owner_type", Value: "company"}}},
		{"a row of another kind", "no such row", []Change{{Table: "public.notes", Row: byKey("2"), Column: "note", Value: "x"}}},
		{"twice", "changed twice", append(customers("phone", "1"), customers("phone", "2")...)},
		{"a wrong type", "does not fit public.customers.born, which is date", customers("born", "secret-day")},
		{"not of the domain", "does not fit public.customers.email", customers("email", "secret")},
		{"too long", "SQLSTATE 22001", customers("phone", "secret-secret-secret")},
		{"a NUL", "does not fit", customers("name", "a\x00b")},
		{"not UTF-8", "does not fit", customers("name", "a\xffb")},
		{"a unique constraint", "the constraint customers_email_key of public.customers", customers("email", "bob@example.com")},
		{"a check", "the constraint customers_born_check", customers("born", "2024-01-01")},
		{"a check of two columns", "customers_check", customers("name", "555")},
		{"not null", "public.customers.name cannot be null", []Change{{Table: "public.customers", Column: "name", Null: true}}},
		{"somebody else's row", "no such row", []Change{{Table: "public.contacts", Row: byKey("3"), Column: "phone", Value: "1"}}},
		{"no such row", "no such row", []Change{{Table: "public.contacts", Row: byKey("99"), Column: "phone", Value: "1"}}},
		{"several rows", "several rows", []Change{{Table: "public.contacts", Column: "phone", Value: "1"}}},
		{"a row by nonsense", "does not fit its type", []Change{{Table: "public.contacts", Row: byKey("secret"), Column: "phone", Value: "1"}}},
		{"a row by too many values", "named by one value for each of: id", []Change{{Table: "public.contacts", Row: byKey("1", "2"), Column: "phone", Value: "1"}}},
		{"a row of two", "not the customer's alone", []Change{{Table: "public.transfers", Row: byKey("1"), Column: "note", Value: "1"}}},
		{"what tells of another", "tells of somebody else", []Change{{Table: "public.gifts", Row: byKey("1"), Column: "taker_name", Value: "1"}}},
		{"a row that lives on", "not the customer's alone", []Change{{Table: "public.visits", Column: "browser", Value: "1"}}},
		{"a rule", "has a rule ON UPDATE", []Change{{Table: "public.ruled", Column: "note", Value: "1"}}},
		{"a trigger's error", "SQLSTATE 42501", heap("raise")},
		{"a trigger that skips", "keeps the row", heap("skip")},
		{"a trigger that takes it back", "takes the change of public.heap.note back", heap("back")},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := Rectify(t.Context(), conn, g, byKey("1"), tt.changes, RectifyOptions{Record: recordNothing})
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error is %v, want one with %q", err, tt.want)
			} else if strings.Contains(err.Error(), "secret") || strings.Contains(err.Error(), "private") {
				t.Errorf("error %q holds a value", err)
			}
		})
	}
	for _, ok := range [][]Change{
		{{Table: "public.transfers", Row: byKey("2"), Column: "note", Value: "mine"}},
		{{Table: "public.gifts", Row: byKey("1"), Column: "note", Value: "mine"}},
		{{Table: "public.gifts", Row: byKey("2"), Column: "taker_name", Value: "me"}},
	} {
		if _, err := Rectify(t.Context(), conn, g, byKey("1"), ok, RectifyOptions{Record: recordNothing}); err != nil {
			t.Errorf("%+v: %v", ok, err)
		}
	}
	lost := errors.New("the log is full")
	_, err := Rectify(t.Context(), conn, g, byKey("1"), customers("phone", "1"), RectifyOptions{Record: func(context.Context, []RectifiedRow) error { return lost }})
	if !errors.Is(err, lost) {
		t.Errorf("error is %v, want that of Record", err)
	}
	if _, err := Rectify(t.Context(), conn, g, byKey("1"), customers("phone", "1"), RectifyOptions{}); err == nil {
		t.Error("what nobody records is done")
	}
	if after := query[string](t, conn, "SELECT md5(string_agg(c::text, ',' ORDER BY id)) FROM customers AS c"); after[0] != before[0] {
		t.Error("what was refused changed a row")
	}
}

// TestRectifyTriggers changes values that triggers change again, before, after
// and when constraints are checked.
func TestRectifyTriggers(t *testing.T) {
	conn, g, _ := rectifyScene(t, `
		CREATE TABLE seen (what text);
		CREATE FUNCTION lower_it() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NEW.phone := lower(NEW.phone); INSERT INTO seen VALUES ('before'); RETURN NEW; END $$;
		CREATE FUNCTION cut_it() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN IF NEW.note <> 'cut' THEN UPDATE parted SET note = 'cut'; END IF; RETURN NULL; END $$;
		CREATE TRIGGER a BEFORE UPDATE ON contacts FOR EACH ROW EXECUTE FUNCTION lower_it();
		CREATE CONSTRAINT TRIGGER b AFTER UPDATE ON parted DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION cut_it();`)
	done, err := Rectify(t.Context(), conn, g, byKey("1"), []Change{
		{Table: "public.contacts", Row: byKey("1"), Column: "phone", Value: "ABC"},
		{Table: "public.parted", Row: byKey("1"), Column: "note", Value: "whole"},
	}, RectifyOptions{Record: recordNothing})
	if err != nil {
		t.Fatal(err)
	}
	for i, column := range []string{"phone", "note"} {
		if diff := cmp.Diff([]string{column}, done.Rows[i].Altered); diff != "" {
			t.Errorf("altered: -want +got:\n%s", diff)
		}
	}
	if after := string(done.Rows[1].after); !strings.Contains(after, `"cut"`) {
		t.Errorf("the trail ends in %s", after)
	}
}

// TestRectifyMeanwhile has somebody else change the row first: the second change
// is made of what that left.
func TestRectifyMeanwhile(t *testing.T) {
	conn, g, dsn := rectifyScene(t, "")
	other := pgtest.Connect(t, dsn)
	if _, err := other.Exec(t.Context(), "BEGIN; UPDATE customers SET phone = '1' WHERE id = 1"); err != nil {
		t.Fatal(err)
	}
	type result struct {
		rows []RectifiedRow
		err  error
	}
	ended := make(chan result, 1)
	go func() {
		done, err := Rectify(t.Context(), conn, g, byKey("1"), []Change{{Table: "public.customers", Column: "phone", Value: "2"}}, RectifyOptions{Record: recordNothing})
		ended <- result{done.Rows, err}
	}()
	for waiting := false; !waiting; {
		waiting = query[bool](t, other, "SELECT EXISTS (SELECT FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock')")[0]
	}
	if _, err := other.Exec(t.Context(), "COMMIT"); err != nil {
		t.Fatal(err)
	}
	r := <-ended
	if r.err != nil || !strings.Contains(string(r.rows[0].before), `"phone":"1"`) || !strings.Contains(string(r.rows[0].after), `"phone":"2"`) {
		t.Errorf("rectified %s, %v", r.rows, r.err)
	}
}
