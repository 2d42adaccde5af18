package sweep

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"

	"github.com/pgveil/pgveil/catalog"
	"github.com/pgveil/pgveil/catalog/pgload"
	"github.com/pgveil/pgveil/internal/pgserver"
	"github.com/pgveil/pgveil/internal/pgtest"
)

func TestMain(m *testing.M) { pgtest.Main(m) }

// database connects to a database of the test's own, made by a script.
func scene(t testing.TB, script string) (*pgx.Conn, *catalog.Snapshot) {
	t.Helper()
	conn := pgtest.Connect(t, pgtest.Server(t).DSN(pgtest.Database(t, ""), pgserver.Superuser))
	if _, err := conn.Exec(t.Context(), script); err != nil {
		t.Fatal(err)
	}
	cat, err := pgload.Load(t.Context(), conn)
	if err != nil {
		t.Fatal(err)
	}
	return conn, cat
}

func lines(r Report) []string {
	var all []string
	for _, h := range r.Hits {
		where := strings.Join(h.First, "; ")
		if h.Statistics {
			where = "statistics"
		}
		all = append(all, fmt.Sprintf("%s %s.%s %d %s", h.Needle, strings.TrimPrefix(h.Relation, "public."), h.Column, h.Rows, where))
	}
	return all
}

// A value is found wherever a database can hold it.
func TestDatabase(t *testing.T) {
	conn, cat := scene(t, `
		CREATE EXTENSION citext;
		CREATE TYPE person AS (name text, mail text);
		CREATE DOMAIN address AS varchar(50);
		CREATE TABLE a_texts (id int PRIMARY KEY, t text, v address, c char(30), m citext, n name);
		CREATE TABLE b_others (a int, b uuid, j json, jb jsonb, ts text[], p person, ps person[], x xml, by bytea, tv tsvector, ok boolean, at date, PRIMARY KEY (a, b));
		CREATE TABLE c_parts (mail text, at date) PARTITION BY RANGE (at);
		CREATE TABLE c_parts_25 PARTITION OF c_parts FOR VALUES FROM ('2025-01-01') TO ('2026-01-01');
		CREATE TABLE c_parts_26 PARTITION OF c_parts DEFAULT;
		CREATE TABLE c_heirs (extra text) INHERITS (a_texts);
		CREATE TABLE d_numbers (id bigint, phone numeric, small int);
		CREATE TABLE e_refs (owner_type text, owner_id int, others int[], payload jsonb, body text);
		CREATE TABLE "f "" 'odd'" ("c "" '" text);
		CREATE MATERIALIZED VIEW g_view AS SELECT t AS mail FROM a_texts WITH NO DATA;
		CREATE VIEW h_view AS SELECT t FROM a_texts;
		INSERT INTO a_texts VALUES (1, 'Ada@b.co', 'to ada@b.co', 'ADA@B.CO', 'aDa@b.co', 'ada@b.co'), (2, NULL, '', 'other', NULL, NULL), (3, E'tab\there\\ ada@b.co\nnext 100%', NULL, NULL, NULL, NULL);
		REFRESH MATERIALIZED VIEW g_view;
		INSERT INTO b_others VALUES (1, '1c1e3dd0-9531-4f30-b24a-c021ca3b95b8', '{"m": "ada\u0040b.co"}', '{"m": ["ada@b.co"]}', '{x,"ada@b.co"}', ROW('Ada "A" B', 'ada@b.co'), ARRAY[ROW('x', 'ada@b.co')::person], '<m>ada@b.co</m>', 'ada@b.co and é', 'ada@b.co', true, '2026-01-01');
		INSERT INTO c_parts VALUES ('ada@b.co', '2025-05-05'), ('ada@b.co', '2026-05-05');
		INSERT INTO c_heirs VALUES (9, 'x', 'x', 'x', 'x', 'x', 'ada@b.co');
		INSERT INTO d_numbers VALUES (4915112345678, 15112345678, 42);
		INSERT INTO e_refs VALUES ('customer', 42, '{41,42}', '{"customer": {"id": 42}}', '42 and 15112345678'), ('order', 420, '{142}', '{"n": 4.2}', 'nothing');
		INSERT INTO "f "" 'odd'" VALUES ('ada@b.co')`)
	needles := []Needle{
		{Name: "mail", Value: "ada@b.co"},
		{Name: "phone", Value: "+49 151 1234-5678"},
		{Name: "uid", Value: "1C1E3DD0-9531-4f30-b24a-c021ca3b95b8"},
		{Name: "id", Value: "42", In: []Column{{Relation: "public.e_refs", Name: "owner_id"}, {Relation: "public.e_refs", Name: "others"}, {Relation: "public.e_refs", Name: "payload"}}},
		{Name: "order", Value: "420", In: []Column{{Relation: "public.e_refs", Name: "owner_id", SQL: "CASE WHEN c.owner_type = 'order' THEN c.owner_id::text END"}}},
		{Name: "other", Value: "420", In: []Column{{Relation: "public.e_refs", Name: "owner_id", SQL: "CASE WHEN c.owner_type = 'customer' THEN c.owner_id::text END"}}},
		{Name: "absent", Value: "nobody@b.co"},
	}
	var last Progress
	report, err := Database(t.Context(), conn, cat, needles, Options{Progress: func(p Progress) { last = p }})
	if err != nil {
		t.Fatal(err)
	}
	want := []string{
		"mail a_texts.c 1 id=1", "mail a_texts.m 1 id=1", "mail a_texts.n 1 id=1", "mail a_texts.t 2 id=1; id=3", "mail a_texts.v 1 id=1",
		"uid b_others.b 1 a=1, b=1c1e3dd0-9531-4f30-b24a-c021ca3b95b8",
		"mail b_others.by 1 a=1, b=1c1e3dd0-9531-4f30-b24a-c021ca3b95b8", "mail b_others.j 1 a=1, b=1c1e3dd0-9531-4f30-b24a-c021ca3b95b8", "mail b_others.jb 1 a=1, b=1c1e3dd0-9531-4f30-b24a-c021ca3b95b8",
		"mail b_others.p 1 a=1, b=1c1e3dd0-9531-4f30-b24a-c021ca3b95b8", "mail b_others.ps 1 a=1, b=1c1e3dd0-9531-4f30-b24a-c021ca3b95b8", "mail b_others.ts 1 a=1, b=1c1e3dd0-9531-4f30-b24a-c021ca3b95b8",
		"mail b_others.tv 1 a=1, b=1c1e3dd0-9531-4f30-b24a-c021ca3b95b8", "mail b_others.x 1 a=1, b=1c1e3dd0-9531-4f30-b24a-c021ca3b95b8",
		"mail c_heirs.extra 1 ctid (0,1)", "mail c_parts_25.mail 1 ctid (0,1)", "mail c_parts_26.mail 1 ctid (0,1)",
		"phone d_numbers.id 1 ctid (0,1)", "phone d_numbers.phone 1 ctid (0,1)",
		"phone e_refs.body 1 ctid (0,1)", "id e_refs.others 1 ctid (0,1)", "id e_refs.owner_id 1 ctid (0,1)", "order e_refs.owner_id 1 ctid (0,2)", "id e_refs.payload 1 ctid (0,1)",
		`mail f " 'odd'.c " ' 1 ctid (0,1)`,
		"mail g_view.mail 2 ctid (0,1); ctid (0,3)",
	}
	if diff := cmp.Diff(want, lines(report)); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	if diff := cmp.Diff([]string{"id", "order", "other"}, report.TooShort); diff != "" {
		t.Error(diff)
	}
	if report.Rows != 14 || report.Relations != 9 || report.Bytes == 0 || last.Done != last.Of || last.Of == 0 {
		t.Errorf("report is of %d rows, %d relations, %d bytes; progress %+v", report.Rows, report.Relations, report.Bytes, last)
	}
	for _, line := range append(lines(report), report.NotSearched...) {
		if strings.Contains(line, "ada@b.co") {
			t.Errorf("a report tells a value: %s", line)
		}
	}
}

// What the server keeps of a column's values is found until it is made anew.
func TestStatistics(t *testing.T) {
	conn, cat := scene(t, `
		CREATE TABLE mails (address text, kind text, owner int);
		CREATE STATISTICS pair (mcv) ON address, kind FROM mails;
		CREATE STATISTICS small ON (lower(address)) FROM mails;
		INSERT INTO mails SELECT 'ada@example.com', 'x', 42 FROM generate_series(1, 50);
		INSERT INTO mails SELECT 'other@example.com', 'x', 7 FROM generate_series(1, 50);
		ANALYZE mails;
		DELETE FROM mails WHERE owner = 42`)
	needles := []Needle{{Name: "mail", Value: "Ada@example.com"}, {Name: "id", Value: "42", In: []Column{{Relation: "public.mails", Name: "owner"}}}}
	const reader = `DO $$ BEGIN IF to_regrole('reader') IS NULL THEN CREATE ROLE reader; END IF; END $$; GRANT pg_read_all_data TO reader; SET ROLE reader`
	for _, tt := range []struct {
		before string
		except []string
		want   []string
	}{
		{"", nil, []string{"mail mails.address 1 statistics", "id mails.owner 1 statistics", "mail mails.pair 1 statistics", "mail mails.small 1 statistics"}},
		{reader, nil, []string{"mail mails.address 1 statistics", "id mails.owner 1 statistics"}},
		{"RESET ROLE", []string{"public.mails"}, nil},
		{"VACUUM ANALYZE mails", nil, nil},
	} {
		if _, err := conn.Exec(t.Context(), tt.before); err != nil {
			t.Fatal(err)
		}
		report, err := Database(t.Context(), conn, cat, needles, Options{Except: tt.except})
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(tt.want, lines(report)); diff != "" {
			t.Errorf("after %q, without %v: -want +got:\n%s", tt.before, tt.except, diff)
		}
		hidden := strings.Count(strings.Join(report.NotSearched, "\n"), "only the owner of their table may read them")
		if want := map[bool]int{true: 2}[tt.before == reader]; hidden != want {
			t.Errorf("after %q: not searched are %v", tt.before, report.NotSearched)
		}
	}
}

func TestNotEverything(t *testing.T) {
	conn, cat := scene(t, `
		CREATE EXTENSION postgres_fdw;
		CREATE SERVER far FOREIGN DATA WRAPPER postgres_fdw;
		CREATE FOREIGN TABLE there (t text) SERVER far;
		CREATE TABLE here (t text);
		CREATE MATERIALIZED VIEW empty AS SELECT t FROM here WITH NO DATA;
		SELECT lo_create(0)`)
	search := func(ctx context.Context) (Report, error) {
		return Database(ctx, conn, cat, []Needle{{Name: "mail", Value: "ada@example.com"}}, Options{Except: []string{"public.here"}})
	}
	report, err := search(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"public.here: left out as was asked", "public.there: its rows are on another server", "1 large objects"}, report.NotSearched); diff != "" {
		t.Error(diff)
	}
	// A table that the catalog lacks could hold anything.
	for _, sql := range []string{"CREATE TABLE new (t text)", "DROP TABLE new; ALTER TABLE here ADD u text"} {
		if _, err := conn.Exec(t.Context(), sql); err != nil {
			t.Fatal(err)
		}
		if _, err := search(t.Context()); !errors.Is(err, ErrSchemaChanged) {
			t.Errorf("after %s: %v", sql, err)
		}
	}
	// Rows that a policy hides are not left out in silence.
	if cat, err = pgload.Load(t.Context(), conn); err != nil {
		t.Fatal(err)
	}
	if _, err := conn.Exec(t.Context(), `
		ALTER TABLE here ENABLE ROW LEVEL SECURITY;
		DO $$ BEGIN IF to_regrole('clerk') IS NULL THEN CREATE ROLE clerk; END IF; END $$;
		GRANT SELECT ON here TO clerk; SET ROLE clerk`); err != nil {
		t.Fatal(err)
	}
	_, err = Database(t.Context(), conn, cat, []Needle{{Name: "mail", Value: "ada@example.com"}}, Options{})
	if err == nil || !strings.Contains(err.Error(), "row-level security") {
		t.Errorf("error is %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := search(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("error is %v", err)
	}
}

// Memory does not grow with the rows, and a pass that nobody waits for ends.
func TestManyRows(t *testing.T) {
	conn, cat := scene(t, `
		CREATE TABLE big (id int PRIMARY KEY, mail text, body text);
		INSERT INTO big SELECT i, 'person' || i || '@example.com', repeat('Nothing to see here. ', 20) FROM generate_series(1, 100000) i`)
	var needles []Needle
	for i := range 1000 {
		needles = append(needles, Needle{Name: fmt.Sprint("mail ", i), Value: fmt.Sprintf("person%d@example.com", i*1000)})
	}
	heap := func() uint64 {
		var m runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	before, most := heap(), uint64(0)
	report, err := Database(t.Context(), conn, cat, needles, Options{Progress: func(Progress) { most = max(most, heap()) }})
	if err != nil {
		t.Fatal(err)
	}
	if len(report.Hits) != 100 || report.Rows != 100_000 || report.Bytes < 40<<20 {
		t.Errorf("%d hits in %d rows of %d bytes", len(report.Hits), report.Rows, report.Bytes)
	}
	if grown := int64(most - before); most == 0 || grown > 8<<20 {
		t.Errorf("the heap grew by %d bytes", grown)
	}
	ctx, cancel := context.WithCancel(t.Context())
	_, err = Database(ctx, conn, cat, needles, Options{Progress: func(p Progress) {
		if p.Done > 0 {
			cancel()
		}
	}})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("error is %v", err)
	}
}

// BenchmarkDatabase is a pass over a table as a CRM has it, for nobody and for 500
// subjects.
func BenchmarkDatabase(b *testing.B) {
	conn, cat := scene(b, `
		CREATE UNLOGGED TABLE activities (id int PRIMARY KEY, customer_id int, mail text, phone text, at timestamptz, body text);
		INSERT INTO activities SELECT i, i % 1000, 'person' || i || '@example.com', '+49 151 ' || (10000000 + i), now(), 'Called about order ' || i || '. ' || repeat('Wants to be called back next week. ', 4) FROM generate_series(1, 400000) i`)
	var needles []Needle
	for i := range 500 {
		for j, v := range []string{"maria.sample%d@example.com", "+49 171 9%07d", "Sample%d Maria", "1c1e3dd0-9531-4f30-b24a-%012d", "DE89 3704 0044 %010d"} {
			needles = append(needles, Needle{Name: fmt.Sprint(j), Value: fmt.Sprintf(v, i)})
		}
	}
	for _, n := range []int{0, len(needles)} {
		b.Run(fmt.Sprintf("needles=%d", n), func(b *testing.B) {
			for b.Loop() {
				report, err := Database(b.Context(), conn, cat, needles[:n], Options{})
				if err != nil || len(report.Hits) > 0 {
					b.Fatal(report.Hits, err)
				}
				b.SetBytes(report.Bytes)
			}
		})
	}
}

// TestTableIsRenamed: what is there no more under its name, once it is looked
// through, may be there under another, and is not passed over.
func TestTableIsRenamed(t *testing.T) {
	for _, change := range []string{"ALTER TABLE b RENAME TO c", "ALTER TABLE b RENAME t TO u", "ALTER TABLE s.b2 SET SCHEMA public; DROP SCHEMA s"} {
		conn, cat := scene(t, `
			CREATE SCHEMA s;
			CREATE TABLE a (t text);
			CREATE TABLE b (t text);
			CREATE TABLE s.b2 (t text);
			INSERT INTO a VALUES ('somebody');
			INSERT INTO b VALUES ('ada@example.com')`)
		other := pgtest.Connect(t, conn.Config().ConnString())
		look := func(p Progress) {
			if p.Relation != "public.a" {
				return
			}
			if _, err := other.Exec(t.Context(), change); err != nil {
				t.Error(err)
			}
		}
		needles := []Needle{{Name: "mail", Value: "ada@example.com"}}
		if _, err := Database(t.Context(), conn, cat, needles, Options{Progress: look}); !errors.Is(err, ErrSchemaChanged) {
			t.Errorf("%s: %v", change, err)
		}
		cat, err := pgload.Load(t.Context(), conn)
		if err != nil {
			t.Fatal(err)
		}
		if report, err := Database(t.Context(), conn, cat, needles, Options{}); err != nil || len(report.Hits) != 1 {
			t.Errorf("%s, and the catalog is read again: %+v, %v", change, report.Hits, err)
		}
	}
}

// TestRepeated has a value that repeats another millions of times, as an archive of
// mail does: a search that looked back for each of them would not end today.
func TestRepeated(t *testing.T) {
	s, _ := newScanner([]Needle{{Name: "mail", Value: "ada@example.com"}, {Name: "phone", Value: "030 1234567"}})
	found := &hits{needles: []Needle{{Name: "mail"}, {Name: "phone"}}, keys: 1, all: map[place]*Hit{}}
	columns := []Column{{Name: "from"}, {Name: "archive"}, {Name: "calls"}, {Name: "to"}}
	r := &reader{scanner: s, hits: found, target: target{name: "t", columns: columns}, report: &Report{}, step: func(float64) {}}
	const times = 3 << 20
	row := "7\tada@example.com\t" + strings.Repeat("ada@example.com ", times) + "\t" + strings.Repeat("301234567 ", times) + "\tbob\n"
	if _, err := r.Write([]byte(row)); err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, h := range found.sorted() {
		got = append(got, fmt.Sprintf("%s in %s: %d", h.Needle, h.Column, h.Rows))
	}
	want := []string{"mail in archive: 1", "phone in calls: 1", "mail in from: 1"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}
