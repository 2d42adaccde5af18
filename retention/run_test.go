package retention_test

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/jackc/pgx/v5"

	"github.com/pgveil/pgveil/internal/pgtest"
	"github.com/pgveil/pgveil/retention"
)

// old tickets, each closed a day earlier than the one before, of customer 1.
const old = `INSERT INTO crm.tickets SELECT g, 1, 'closed', now() - interval '3 years' - g * interval '1 day' FROM generate_series(1, 5) AS g;
	INSERT INTO crm.tickets VALUES (10, 2, 'closed', now() - interval '3 years' + interval '1 hour'), (11, 2, 'closed', NULL), (12, 2, 'closed', 'infinity'), (13, 2, 'closed', '-infinity');`

const threeYears = customers + "retention: [{on: crm.tickets, keep: 3y, after: closed_at, then: delete, because: no longer needed}]\n"

func TestTakesWhatIsDue(t *testing.T) {
	s := newSite(t, crm, threeYears)
	s.exec(t, old)
	s.exec(t, `INSERT INTO crm.comments VALUES (1, 1, 1), (2, 1, 2), (3, 10, 1); INSERT INTO crm.calls VALUES (1, 1), (2, 10)`)
	p := s.plan(t).Rules[0]
	if p.Due != 5 || p.Held != 0 || p.Awaiting != 0 || p.Undated != 3 || len(p.Refused) > 0 || p.Oldest == "" {
		t.Errorf("the plan is %+v", p)
	}
	byName := cmpopts.SortSlices(func(a, b retention.Hanging) bool { return a.By < b.By })
	hanging := []retention.Hanging{{"crm.calls", "crm.calls.ticket_id", "loosens", 1}, {"crm.comments", "crm.comments.ticket_id", "goes", 2}, {"crm.files", "crm.files.comment_id", "blocks", 0}}
	if diff := cmp.Diff(hanging, p.Hanging, byName); diff != "" {
		t.Errorf("what hangs on it: -want +got:\n%s", diff)
	}
	result, recorded := s.run(t)
	if got := s.ids(t, "SELECT id FROM crm.tickets ORDER BY id"); got != "10 11 12 13" {
		t.Errorf("tickets left: %s", got)
	}
	if got := s.ids(t, "SELECT id FROM crm.comments ORDER BY id"); got != "3" {
		t.Errorf("comments left: %s", got)
	}
	if got := s.ids(t, "SELECT coalesce(ticket_id, 0) FROM crm.calls ORDER BY id"); got != "0 10" {
		t.Errorf("calls are of tickets %s", got)
	}
	if result.State != retention.Done || result.Rows() != 7 || result.Rules[0].Batches != 3 || result.Rules[0].Due != 0 {
		t.Errorf("the result is %+v", result)
	}
	// The journal and what was recorded say the same, and the digests are of the keys.
	if got := s.ids(t, "SELECT batch || ' ' || relation || ' ' || rows || ',' FROM pgveil.retention_batches ORDER BY batch, part"); got != "1 crm.tickets 2, 2 crm.tickets 2, 3 crm.comments 2, 3 crm.tickets 1," {
		t.Errorf("the journal has %s", got)
	}
	if want := digestOf("crm.tickets", "[4]", "[5]"); !hmac.Equal(recorded[0].Took[0].Digest, want) {
		t.Error("the first batch's digest is not of the two oldest tickets")
	}
	if want := digestOf("crm.comments", "[1]", "[2]"); !hmac.Equal(recorded[2].Took[0].Digest, want) {
		t.Error("the last batch's digest is not of the comments")
	}
	again, recorded := s.run(t)
	if again.Rows() != 0 || len(recorded) != 0 || again.Run == result.Run {
		t.Errorf("a second run did %+v", again)
	}
}

func digestOf(relation string, keys ...string) []byte {
	h := hmac.New(sha256.New, testKey)
	for _, s := range append([]string{relation}, keys...) {
		h.Write(binary.BigEndian.AppendUint64(nil, uint64(len(s))))
		h.Write([]byte(s))
	}
	return h.Sum(nil)
}

func TestHoldsKeep(t *testing.T) {
	for _, tt := range []struct {
		name, hold, more, left string
		held                   int64
	}{
		{"over the table", "('', '', 'crm.tickets')", "", "1 2 3 4 5 10 11 12 13", 5},
		{"over the subject", "('customer', '1', '')", "UPDATE crm.tickets SET customer_id = 2 WHERE id = 3", "1 2 4 5 10 11 12 13", 4},
		{"over the subject's rows in the table", "('customer', '1', 'crm.tickets')", "", "1 2 3 4 5 10 11 12 13", 5},
		{"over the subject's rows elsewhere", "('customer', '1', 'crm.calls')", "INSERT INTO crm.calls VALUES (1, 3)", "3 10 11 12 13", 1},
		{"over who wrote a comment that would go", "('customer', '9', '')", "INSERT INTO crm.comments VALUES (1, 2, 9)", "2 10 11 12 13", 1},
		{"over a table whose rows would go", "('', '', 'crm.comments')", "INSERT INTO crm.comments VALUES (1, 4, 9)", "4 10 11 12 13", 1},
		{"over a table whose rows would change", "('', '', 'crm.calls')", "INSERT INTO crm.calls VALUES (1, 5)", "5 10 11 12 13", 1},
		{"over somebody else", "('customer', '11', '')", "", "10 11 12 13", 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s := newSite(t, crm, threeYears)
			s.exec(t, old+tt.more)
			s.exec(t, "INSERT INTO pgveil.holds (kind, key, relation, matter, made_by, ends_at) SELECT k, i, r, 'case', 'olga', 'infinity' FROM (VALUES "+tt.hold+") AS h (k, i, r)")
			if p := s.plan(t).Rules[0]; p.Held != tt.held || p.Due != 5 {
				t.Errorf("the plan is %+v, want %d held", p, tt.held)
			}
			s.run(t)
			if got := s.ids(t, "SELECT id FROM crm.tickets ORDER BY id"); got != tt.left {
				t.Errorf("left are %s, want %s", got, tt.left)
			}
			s.exec(t, "UPDATE pgveil.holds SET released_at = now()")
			s.run(t)
			if got := s.ids(t, "SELECT id FROM crm.tickets ORDER BY id"); got != "10 11 12 13" {
				t.Errorf("after the hold was released, left are %s", got)
			}
		})
	}
}

// TestHoldArrives makes a hold after the first batch was committed.
func TestHoldArrives(t *testing.T) {
	s := newSite(t, crm, threeYears)
	s.exec(t, old)
	var recorded []retention.Batch
	o := s.options(&recorded)
	o.Progress = func(b retention.Batch, all int64) {
		if b.N == 1 {
			s.exec(t, "INSERT INTO pgveil.holds (kind, key, relation, matter, made_by, ends_at) VALUES ('customer', '1', '', 'case', 'olga', 'infinity')")
		}
	}
	if _, err := retention.Run(t.Context(), pgtest.Connect(t, s.dsn), o); err != nil {
		t.Fatal(err)
	}
	if got := s.ids(t, "SELECT id FROM crm.tickets WHERE id < 10 ORDER BY id"); got != "1 2 3" {
		t.Errorf("left are %s", got)
	}
}

// TestRowsThatRefer has rows that refer and do not go by themselves.
func TestRowsThatRefer(t *testing.T) {
	const files = "INSERT INTO crm.comments VALUES (1, 1, NULL), (2, 3, NULL); INSERT INTO crm.files VALUES (7, 1)"
	for _, tt := range []struct {
		name, rules, more string
		tickets, fileIDs  string
		refused, awaiting string
		run               string // what refuses, of the run
	}{
		{"nothing takes them", "{on: crm.tickets, keep: 3y, after: closed_at, then: delete}", "", "1 2 3 4 5", "7", "1 rows of crm.files", "1", "with: [crm.files]"},
		{"they go with it", "{on: crm.tickets, keep: 3y, after: closed_at, then: delete, with: crm.files}", "", "", "", "", "0", ""},
		{
			"their own rule takes them first", "{on: crm.tickets, keep: 3y, after: closed_at, then: delete}, {on: crm.files, keep: 1d, after: made, then: delete}",
			"ALTER TABLE crm.files ADD made date DEFAULT current_date - 9", "", "", "", "1", "",
		},
		{
			"their own rule keeps them longer", "{on: crm.tickets, keep: 3y, after: closed_at, then: delete}, {on: crm.files, keep: 9y, after: made, then: delete}",
			"ALTER TABLE crm.files ADD made date DEFAULT current_date - 9", "1", "7", "", "1", "",
		},
		{"by a reference to the table itself", "{on: crm.tickets, keep: 3y, after: closed_at, then: delete, with: crm.files}",
			"ALTER TABLE crm.tickets ADD part_of int REFERENCES crm.tickets; UPDATE crm.tickets SET part_of = 1 WHERE id IN (1, 2); UPDATE crm.tickets SET part_of = 5 WHERE id = 10", "5", "", "", "2", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s := newSite(t, crm+old+files+";"+tt.more, customers+"retention: ["+tt.rules+"]\n")
			for _, p := range s.plan(t).Rules {
				if p.Table != "crm.tickets" {
					continue
				}
				if tt.refused == "" && len(p.Refused) > 0 || tt.refused != "" && !strings.Contains(strings.Join(p.Refused, "\n"), tt.refused) {
					t.Errorf("refused: %q", p.Refused)
				}
				if got := s.ids(t, "SELECT $1::bigint", p.Awaiting); got != tt.awaiting {
					t.Errorf("%s are awaited, want %s", got, tt.awaiting)
				}
			}
			var recorded []retention.Batch
			result, err := retention.Run(t.Context(), pgtest.Connect(t, s.dsn), s.options(&recorded))
			if tt.run == "" && err != nil {
				t.Fatalf("%v: %+v", err, result)
			}
			if tt.run != "" && (err == nil || !strings.Contains(strings.Join(result.Rules[0].Refused, "\n"), tt.run)) {
				t.Errorf("%v: %+v, want %q", err, result, tt.run)
			}
			if got := s.ids(t, "SELECT id FROM crm.tickets WHERE id < 10 ORDER BY id"); got != tt.tickets {
				t.Errorf("tickets left: %s, want %s", got, tt.tickets)
			}
			if got := s.ids(t, "SELECT id FROM crm.files"); got != tt.fileIDs {
				t.Errorf("files left: %s, want %s", got, tt.fileIDs)
			}
		})
	}
}

// TestRefuses has tables on which a rule would do something else than it says.
func TestRefuses(t *testing.T) {
	for _, tt := range []struct{ name, sql, says string }{
		{"a rule on the table", "CREATE RULE gone AS ON DELETE TO crm.tickets DO INSTEAD UPDATE crm.tickets SET status = 'gone' WHERE id = OLD.id", "has the rule gone"},
		{"a foreign key that the catalog does not know", "CREATE TABLE crm.late (ticket_id int REFERENCES crm.tickets ON DELETE CASCADE)", "schema has changed"},
		{"nothing goes with it", "ALTER TABLE crm.calls DROP CONSTRAINT calls_ticket_id_fkey", "\"with\" names crm.calls"},
		{"a condition that fails", "UPDATE crm.tickets SET status = '1/0'", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s := newSite(t, crm+old, threeYears)
			s.exec(t, tt.sql)
			if tt.name == "nothing goes with it" {
				s.text = strings.Replace(threeYears, "because:", "with: crm.calls, because:", 1)
				s.load(t)
			}
			if tt.says == "" {
				s.text = strings.Replace(threeYears, "because:", `where: "status::int > 0", because:`, 1)
				s.load(t)
				tt.says = "SQLSTATE 22P02"
			}
			p := s.plan(t).Rules[0]
			if !strings.Contains(strings.Join(p.Refused, "\n"), tt.says) || strings.Contains(strings.Join(p.Refused, "\n"), "1/0") {
				t.Errorf("refused: %q", p.Refused)
			}
			var recorded []retention.Batch
			result, err := retention.Run(t.Context(), pgtest.Connect(t, s.dsn), s.options(&recorded))
			if err == nil || result.State != retention.Failed || len(recorded) > 0 {
				t.Errorf("%v, %+v", err, result)
			}
			if got := s.ids(t, "SELECT count(*) FROM crm.tickets"); got != "9" {
				t.Errorf("%s tickets are left", got)
			}
		})
	}
}

// TestWhoMayNot has a login that may not do what a rule takes: the plan says what it
// lacks, and a run does nothing.
func TestWhoMayNot(t *testing.T) {
	for _, tt := range []struct{ name, sql, says string }{
		{"no privilege", "GRANT SELECT ON crm.tickets TO retainer", "GRANT DELETE, UPDATE ON crm.tickets TO \"retainer\""},
		{"none on what goes with it", "GRANT SELECT, UPDATE, DELETE ON crm.tickets TO retainer", "GRANT DELETE, SELECT, UPDATE ON crm.comments"},
		{"row security", "GRANT ALL ON ALL TABLES IN SCHEMA crm TO retainer; ALTER TABLE crm.tickets ENABLE ROW LEVEL SECURITY; CREATE POLICY p ON crm.tickets USING (id > 3)", "row security hides rows of crm.tickets"},
		{"foreign keys do not hold", "GRANT ALL ON ALL TABLES IN SCHEMA crm TO retainer; ALTER ROLE retainer SUPERUSER; ALTER ROLE retainer SET session_replication_role = replica", "session_replication_role is replica"},
	} {
		t.Run(tt.name, func(t *testing.T) { // one after the other: roles are the server's
			s := newSite(t, crm+old, threeYears)
			s.exec(t, "CREATE ROLE retainer LOGIN; GRANT USAGE ON SCHEMA crm, pgveil TO retainer; GRANT ALL ON ALL TABLES IN SCHEMA pgveil TO retainer;"+tt.sql)
			defer s.exec(t, "DROP OWNED BY retainer; DROP ROLE retainer")
			conn, err := pgx.Connect(t.Context(), strings.Replace(s.dsn, "user=postgres", "user=retainer", 1))
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close(t.Context())
			var recorded []retention.Batch
			result, err := retention.Run(t.Context(), conn, s.options(&recorded))
			if said := fmt.Sprint(err, result); !strings.Contains(said, tt.says) || len(recorded) > 0 {
				t.Errorf("it says %s, want %s", said, tt.says)
			}
			if got := s.ids(t, "SELECT count(*) FROM crm.tickets"); got != "9" {
				t.Errorf("%s tickets are left", got)
			}
		})
	}
}

// TestTriggerKeeps has a trigger that keeps a row: the batch does not happen, and the
// other rule does.
func TestTriggerKeeps(t *testing.T) {
	s := newSite(t, crm+old, customers+"retention: [{on: crm.tickets, keep: 3y, after: closed_at, then: delete}, {on: crm.customers, keep: 1d, after: seen, then: delete}]\n")
	s.exec(t, `CREATE FUNCTION crm.keep() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN IF OLD.id = 4 THEN RETURN NULL; END IF; RETURN OLD; END';
		CREATE TRIGGER keep BEFORE DELETE ON crm.tickets FOR EACH ROW EXECUTE FUNCTION crm.keep();
		UPDATE crm.customers SET seen = now() - interval '2 days' WHERE id IN (1, 9)`)
	var recorded []retention.Batch
	result, err := retention.Run(t.Context(), pgtest.Connect(t, s.dsn), s.options(&recorded))
	if err == nil || !strings.Contains(result.Rules[0].Error, "1 of 2 rows were left as they are, by a trigger") {
		t.Errorf("%v, %+v", err, result)
	}
	if got := s.ids(t, "SELECT count(*) FROM crm.tickets"); got != "9" {
		t.Errorf("%s tickets are left", got)
	}
	if got := s.ids(t, "SELECT id FROM crm.customers WHERE id IN (1, 9)"); got != "1" {
		t.Errorf("customers left: %s", got)
	}
}

// TestUnrecorded has a log that cannot be written.
func TestUnrecorded(t *testing.T) {
	s := newSite(t, crm+old, threeYears)
	var recorded []retention.Batch
	o := s.options(&recorded)
	o.Record = func(context.Context, retention.Batch) error { return errors.New("the disk is full") }
	result, err := retention.Run(t.Context(), pgtest.Connect(t, s.dsn), o)
	if err == nil || result.Rules[0].Error != "the disk is full" {
		t.Errorf("%v, %+v", err, result)
	}
	if got := s.ids(t, "SELECT count(*) FROM crm.tickets"); got != "9" {
		t.Errorf("%s tickets are left", got)
	}
	if got := s.ids(t, "SELECT state FROM pgveil.retention_runs") + s.ids(t, "SELECT batch FROM pgveil.retention_batches"); got != "failed" {
		t.Errorf("the journal says %s", got)
	}
}
