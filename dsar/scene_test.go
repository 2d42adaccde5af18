package dsar

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"

	"github.com/pgveil/pgveil/catalog"
	"github.com/pgveil/pgveil/policy"
	"github.com/pgveil/pgveil/privacy"
)

func wantCode(t *testing.T, err error, code privacy.Code, text string) {
	t.Helper()
	var e *privacy.Error
	if !errors.As(err, &e) || e.Code != code || !strings.Contains(err.Error(), text) {
		t.Errorf("error is %v, want %s with %q", err, code, text)
	}
}

const customerByID = "  customer: {table: public.customers, key: id}\n"

// steps gives a report in short.
func steps(r Report) []string {
	var lines []string
	for _, s := range r.Steps {
		lines = append(lines, fmt.Sprintf("%s %d %s", s.Action, s.Rows, strings.TrimPrefix(s.Table, "public.")))
	}
	return lines
}

// same compares the documents' tables and the steps of a dry run, which takes
// them and takes them back: what the schema does not allow is refused.
func same(t *testing.T, conn *pgx.Conn, g *Graph, key []string, tables, want string) {
	t.Helper()
	doc := mustExport(t, conn, g, key...)
	var lines []string
	for _, table := range g.Tables {
		name := table.Relation.QualifiedName()
		for _, row := range doc.Tables[name] {
			lines = append(lines, strings.TrimPrefix(name, "public.")+" "+strings.TrimPrefix(fmt.Sprint(row), "map"))
		}
	}
	if diff := cmp.Diff(strings.Split(strings.TrimSpace(tables), "\n"), lines); diff != "" {
		t.Errorf("rows of %v: -want +got:\n%s", key, diff)
	}
	report := dryRun(t, conn, g, key...)
	if diff := cmp.Diff(strings.Split(want, ", "), steps(report)); diff != "" {
		t.Errorf("steps for %v: -want +got:\n%s", key, diff)
	}
}

func TestCounterparts(t *testing.T) {
	conn, g := scene(t, `
		CREATE TABLE customers (id int PRIMARY KEY, name text, referred_by int REFERENCES customers);
		CREATE TABLE transfers (id int PRIMARY KEY, payer_id int NOT NULL REFERENCES customers, payee_id int NOT NULL REFERENCES customers, payee_name text, cents int);
		CREATE TABLE notes (transfer_id int REFERENCES transfers, note text);
		CREATE TABLE orders (id int PRIMARY KEY, customer_id int NOT NULL REFERENCES customers, gift_for_id int REFERENCES customers, gift_for_name text);
		CREATE TABLE lines (order_id int NOT NULL REFERENCES orders, line int, PRIMARY KEY (order_id, line));
		INSERT INTO customers VALUES (1, 'Ada', 2), (2, 'Bob', NULL), (3, 'Cyd', 1);
		INSERT INTO transfers VALUES (10, 1, 2, 'Bob', 100), (11, 1, 1, 'Ada', 200), (12, 2, 3, 'Cyd', 300);
		INSERT INTO notes VALUES (10, 'to Bob'), (11, 'to myself');
		INSERT INTO orders VALUES (20, 1, 3, 'Cyd'), (21, 3, 1, 'Ada'), (22, 1, NULL, NULL);
		INSERT INTO lines VALUES (20, 1), (21, 1), (22, 1)`, customerByID)
	// Two have to do with a transfer and neither owns it; an order belongs to
	// whoever gave it.
	same(t, conn, g, []string{"1"}, `
customers [id:1 name:Ada referred_by:map[redacted:another customer]]
orders [customer_id:1 gift_for_id:map[redacted:another customer] gift_for_name:map[redacted:another customer] id:20]
orders [customer_id:map[redacted:another customer] gift_for_id:1 gift_for_name:Ada id:21]
orders [customer_id:1 gift_for_id:<nil> gift_for_name:<nil> id:22]
transfers [cents:100 id:10 payee_id:map[redacted:another customer] payee_name:map[redacted:another customer] payer_id:1]
transfers [cents:200 id:11 payee_id:1 payee_name:Ada payer_id:1]
lines [line:1 order_id:20]
lines [line:1 order_id:22]
notes [note:to myself transfer_id:11]`,
		"refuse 1 transfers, set null 1 customers, set null 1 orders, delete 1 notes, delete 2 lines, delete 1 transfers, delete 2 orders, delete 1 customers")
	// What is left out is said.
	doc := mustExport(t, conn, g, "1")
	want := []Note{{"public.customers.referred_by", "public.customers", "leads to another customer"}}
	if diff := cmp.Diff(want, doc.NotFollowed); diff != "" {
		t.Error(diff)
	}
}

// What the server computes of what is redacted is redacted as well.
func TestGeneratedCounterparts(t *testing.T) {
	conn, g := scene(t, `
		CREATE TABLE customers (id int PRIMARY KEY);
		CREATE TABLE transfers (id int PRIMARY KEY, payer_id int NOT NULL REFERENCES customers, payee_id int NOT NULL REFERENCES customers, payee_name text,
			label text GENERATED ALWAYS AS ('to ' || payee_name) STORED);
		INSERT INTO customers VALUES (1), (2); INSERT INTO transfers VALUES (10, 1, 2, 'Bob'), (11, 1, 1, 'Ada')`, customerByID)
	for _, row := range mustExport(t, conn, g, "1").Tables["public.transfers"] {
		if text := fmt.Sprint(row); strings.Contains(text, "Bob") || row["id"] == 11.0 && row["label"] != "to Ada" {
			t.Errorf("a row is %s", text)
		}
	}
}

func TestCycles(t *testing.T) {
	conn, g := scene(t, `
		CREATE TABLE customers (id int PRIMARY KEY);
		CREATE TABLE threads (id int PRIMARY KEY, customer_id int REFERENCES customers);
		CREATE TABLE messages (id int PRIMARY KEY, thread_id int NOT NULL REFERENCES threads, answers int REFERENCES messages);
		ALTER TABLE threads ADD opened_by int REFERENCES messages;
		ALTER TABLE customers ADD favourite int REFERENCES threads;
		INSERT INTO customers VALUES (1), (2);
		INSERT INTO threads VALUES (10, 1), (11, NULL), (12, NULL), (13, 2);
		INSERT INTO messages VALUES (100, 10, NULL), (101, 11, 100), (102, 12, NULL), (103, 13, 100);
		UPDATE threads SET opened_by = 100 WHERE id IN (10, 11);
		UPDATE threads SET opened_by = 101 WHERE id = 12;
		UPDATE customers SET favourite = 10;`, customerByID)
	same(t, conn, g, []string{"1"}, `
customers [favourite:10 id:1]
threads [customer_id:1 id:10 opened_by:100]
threads [customer_id:<nil> id:11 opened_by:100]
threads [customer_id:<nil> id:12 opened_by:101]
messages [answers:<nil> id:100 thread_id:10]
messages [answers:100 id:101 thread_id:11]
messages [answers:<nil> id:102 thread_id:12]`,
		"set null 1 customers, set null 1 messages, delete 1 customers, delete 3 threads, delete 3 messages")
	doc := mustExport(t, conn, g, "1")
	want := []Note{
		{"public.customers.favourite", "public.threads", "leads to another subject: customer"},
		{"public.messages.answers", "public.messages", "a table that refers to itself: the rows may be of others"},
	}
	if diff := cmp.Diff(want, doc.NotFollowed); diff != "" {
		t.Error(diff)
	}
}

func TestCompositeKeys(t *testing.T) {
	conn, g := scene(t, `
		CREATE TABLE tenants (id int PRIMARY KEY);
		CREATE TABLE customers (tenant_id int REFERENCES tenants, id int, PRIMARY KEY (tenant_id, id));
		CREATE TABLE orders (tenant_id int REFERENCES tenants, id int, customer_id int, friend_id int, PRIMARY KEY (tenant_id, id),
			FOREIGN KEY (tenant_id, customer_id) REFERENCES customers, FOREIGN KEY (tenant_id, friend_id) REFERENCES customers (tenant_id, id) ON DELETE SET NULL);
		INSERT INTO tenants VALUES (7), (8);
		INSERT INTO customers VALUES (7, 1), (7, 2), (8, 1);
		INSERT INTO orders VALUES (7, 10, 1, 2), (7, 11, 2, 1), (8, 10, 1, NULL), (7, 12, NULL, NULL);`, customerByID)
	same(t, conn, g, []string{"7", "1"}, `
customers [id:1 tenant_id:7]
orders [customer_id:1 friend_id:map[redacted:another customer] id:10 tenant_id:7]
orders [customer_id:map[redacted:another customer] friend_id:1 id:11 tenant_id:7]`,
		"set null 1 orders, delete 1 orders, delete 1 customers")
	if doc := mustExport(t, conn, g, "2"); doc.Key["tenant_id"] != 7.0 {
		t.Errorf("the only 2 is %v", doc.Key)
	}
	for _, tt := range []struct {
		key  []string
		code privacy.Code
		text string
	}{
		{[]string{"1"}, privacy.Ambiguous, "2 of kind \"customer\" match; ask for one by tenant_id, id"},
		{[]string{"8", "2"}, privacy.NotFound, "no such customer"},
		{[]string{"8", "2", "1"}, privacy.Syntax, "one value for each of tenant_id, id"},
		{nil, privacy.Syntax, "one value"},
	} {
		_, err := export(t, conn, g, privacy.Key{Values: tt.key}, ExportOptions{})
		wantCode(t, err, tt.code, tt.text)
	}
}

func TestReferences(t *testing.T) {
	conn, g := scene(t, `
		CREATE TABLE companies (id int PRIMARY KEY);
		CREATE TABLE staff (id int PRIMARY KEY, name text);
		CREATE TABLE customers (id int PRIMARY KEY, company_id int REFERENCES companies, agent_id int REFERENCES staff);
		CREATE TABLE visits (customer_ref text, page text);
		CREATE TABLE visit_words (customer_no bigint NOT NULL);
		CREATE VIEW last_visits AS SELECT customer_ref FROM visits;
		CREATE TABLE tickets (id int PRIMARY KEY, customer_id int REFERENCES customers, agent_id int NOT NULL REFERENCES staff, agent_name text);
		CREATE TABLE answers (ticket_id int REFERENCES tickets, body text);
		INSERT INTO companies VALUES (5); INSERT INTO staff VALUES (9, 'Sid');
		INSERT INTO customers VALUES (1, 5, 9), (2, 5, NULL);
		INSERT INTO visits VALUES ('1', '/a'), ('1', '/a'), ('2', '/b'), ('x', '/c'), (NULL, NULL);
		INSERT INTO visit_words VALUES (1), (2);
		INSERT INTO tickets VALUES (30, 1, 9, 'Sid'); INSERT INTO answers VALUES (30, 'yes')`,
		`  customer: {table: public.customers, key: id, references: [{from: public.visits.customer_ref}, {from: public.visit_words.customer_no}, {from: public.last_visits.customer_ref}, {from: public.tickets.customer_id}]}
  agent: {table: public.staff, key: id}
`)
	same(t, conn, g, []string{"1"}, `
customers [agent_id:map[redacted:another subject: agent] company_id:5 id:1]
tickets [agent_id:map[redacted:another subject: agent] agent_name:map[redacted:another subject: agent] customer_id:1 id:30]
visits [customer_ref:1 page:/a]
visits [customer_ref:1 page:/a]
visit_words [customer_no:1]
answers [body:yes ticket_id:30]`,
		"delete 1 answers, delete 1 visit_words, delete 2 visits, delete 1 tickets, delete 1 customers")
	doc := mustExport(t, conn, g, "1")
	want := []Note{{"public.customers.agent_id", "public.staff", ""}, {"public.customers.company_id", "public.companies", ""}, {"public.tickets.agent_id", "public.staff", ""}}
	if diff := cmp.Diff(want, doc.References); diff != "" {
		t.Error(diff)
	}
	want = []Note{{"public.last_visits.customer_ref", "public.customers", "a view has no rows of its own"}}
	if diff := cmp.Diff(want, doc.NotFollowed); diff != "" {
		t.Error(diff)
	}
}

func TestTablesOfEveryKind(t *testing.T) {
	conn, g := scene(t, `
		CREATE TABLE customers (id int, region text, PRIMARY KEY (id, region)) PARTITION BY LIST (region);
		CREATE TABLE customers_eu PARTITION OF customers FOR VALUES IN ('eu');
		CREATE TABLE customers_us PARTITION OF customers FOR VALUES IN ('us') PARTITION BY LIST (id);
		CREATE TABLE customers_us_1 PARTITION OF customers_us DEFAULT;
		CREATE TABLE events (customer_id int, region text, at date, FOREIGN KEY (customer_id, region) REFERENCES customers) PARTITION BY RANGE (at);
		CREATE TABLE events_25 PARTITION OF events FOR VALUES FROM ('2025-01-01') TO ('2026-01-01');
		CREATE TABLE events_26 (note text, at date, region text, customer_id int);
		ALTER TABLE events_26 DROP note;
		ALTER TABLE events ATTACH PARTITION events_26 FOR VALUES FROM ('2026-01-01') TO ('2027-01-01');
		CREATE TABLE logs (line text, customer_id int, region text, FOREIGN KEY (customer_id, region) REFERENCES customers);
		CREATE TABLE audit_logs (extra text) INHERITS (logs);
		CREATE TABLE eu_only (customer_id int, region text, FOREIGN KEY (customer_id, region) REFERENCES customers_eu);
		INSERT INTO customers VALUES (1, 'eu'), (2, 'us');
		INSERT INTO events VALUES (1, 'eu', '2025-03-03'), (1, 'eu', '2026-03-03'), (2, 'us', '2026-03-03');
		INSERT INTO logs VALUES ('same', 1, 'eu'), ('same', 1, 'eu'), ('other', 2, 'us');
		INSERT INTO audit_logs VALUES ('heir', 1, 'eu', 'more'), ('heir', 3, 'eu', 'nobody');
		INSERT INTO eu_only VALUES (1, 'eu');`, customerByID)
	same(t, conn, g, []string{"1"}, `
customers [id:1 region:eu]
audit_logs [customer_id:1 extra:more line:heir region:eu]
eu_only [customer_id:1 region:eu]
events [at:2025-03-03 customer_id:1 region:eu]
events [at:2026-03-03 customer_id:1 region:eu]
logs [customer_id:1 line:same region:eu]
logs [customer_id:1 line:same region:eu]`,
		"delete 2 logs, delete 2 events, delete 1 eu_only, delete 1 audit_logs, delete 1 customers")
	same(t, conn, g, []string{"2"}, `
customers [id:2 region:us]
events [at:2026-03-03 customer_id:2 region:us]
logs [customer_id:2 line:other region:us]`,
		"delete 1 logs, delete 1 events, delete 0 eu_only, delete 0 audit_logs, delete 1 customers")
	// A partition may come at any time; what it holds is found at once.
	if _, err := conn.Exec(t.Context(), `
		CREATE TABLE events_27 PARTITION OF events DEFAULT;
		INSERT INTO events VALUES (1, 'eu', '2027-03-03')`); err != nil {
		t.Fatal(err)
	}
	if doc := mustExport(t, conn, g, "1"); doc.Counts["public.events"] != 3 {
		t.Errorf("found %d events, want 3", doc.Counts["public.events"])
	}
}

func TestWaysMeet(t *testing.T) {
	conn, g := scene(t, `
		CREATE TABLE customers (id int PRIMARY KEY);
		CREATE TABLE orders (id int PRIMARY KEY, customer_id int REFERENCES customers);
		CREATE TABLE returns (id int PRIMARY KEY, order_id int REFERENCES orders, customer_id int REFERENCES customers);
		CREATE TABLE labels (return_id int REFERENCES returns, order_id int REFERENCES orders);
		INSERT INTO customers VALUES (1), (2);
		INSERT INTO orders VALUES (10, 1), (11, 2);
		INSERT INTO returns VALUES (20, 10, 1), (21, 10, NULL), (22, NULL, 1), (23, 10, 2), (24, 11, 1);
		INSERT INTO labels VALUES (20, 10), (20, NULL), (23, NULL), (23, 10), (22, 11);`, customerByID)
	// Return 23 is of customer 2, though of an order of customer 1: what hangs
	// on it alone is not.
	same(t, conn, g, []string{"1"}, `
customers [id:1]
orders [customer_id:1 id:10]
returns [customer_id:1 id:20 order_id:10]
returns [customer_id:<nil> id:21 order_id:10]
returns [customer_id:1 id:22 order_id:<nil>]
returns [customer_id:map[redacted:another customer] id:23 order_id:10]
returns [customer_id:1 id:24 order_id:11]
labels [order_id:10 return_id:20]
labels [order_id:<nil> return_id:20]
labels [order_id:10 return_id:23]
labels [order_id:11 return_id:22]`,
		"set null 1 returns, delete 4 labels, delete 4 returns, delete 1 orders, delete 1 customers")
}

func TestHostileNames(t *testing.T) {
	conn, g := scene(t, `
		CREATE TABLE customers ("s; DROP TABLE x --" text PRIMARY KEY, "c" int, "c.*" int, "o""'" int);
		CREATE TABLE "t """ ("p" text REFERENCES customers, s int, r0 int, "'; $1" text REFERENCES customers);
		INSERT INTO customers VALUES (E'a''; DROP TABLE customers; --', 1, 2, 3), ('b', 4, 5, 6);
		INSERT INTO "t """ VALUES (E'a''; DROP TABLE customers; --', 1, 2, 'b');`,
		`  customer: {table: public.customers, key: '"s; DROP TABLE x --"'}`+"\n")
	doc := mustExport(t, conn, g, "a'; DROP TABLE customers; --")
	if rows := doc.Tables[`public.t "`]; len(rows) != 1 || fmt.Sprint(rows[0]["'; $1"]) != "map[redacted:another customer]" {
		t.Errorf("rows are %v", rows)
	}
	for _, key := range []string{"", "a", "' OR true --", "a'; DROP TABLE customers; -- ", "%", strings.Repeat("x", 1<<20)} {
		_, err := export(t, conn, g, byKey(key), ExportOptions{})
		wantCode(t, err, privacy.NotFound, "no such customer")
	}
	_, err := export(t, conn, g, byKey("a\x00b"), ExportOptions{})
	wantCode(t, err, privacy.BadKey, "does not fit public.customers.s; DROP TABLE x --")
	_, err = export(t, conn, g, byKey("\xff"), ExportOptions{})
	wantCode(t, err, privacy.BadKey, "does not fit")
}

func TestKeyTypes(t *testing.T) {
	conn := database(t, "", `
		CREATE EXTENSION citext;
		CREATE DOMAIN positive AS int CHECK (VALUE > 0);
		CREATE TYPE colour AS ENUM ('red', 'blue');
		CREATE TABLE customers (id positive PRIMARY KEY, u uuid, n numeric, v varchar(3), f char(5), e colour, m citext, b boolean);
		INSERT INTO customers VALUES (1, '1c1e3dd0-9531-4f30-b24a-c021ca3b95b8', 1.50, 'abc', 'ab', 'red', 'Ada@B.c', true)`)
	g, err := compile(t, conn, scenePolicy(t, "  customer: {table: public.customers, key: id, find_by: [u, n, v, f, e, m, b]}\n"), "customer")
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		column, value string
		want          privacy.Code
	}{
		{"id", "1", ""}, {"id", " 1 ", ""}, {"id", "2", privacy.NotFound}, {"id", "0", privacy.BadKey}, {"id", "secret", privacy.BadKey}, {"id", "99999999999", privacy.BadKey},
		{"u", "1C1E3DD095314F30B24AC021CA3B95B8", ""}, {"u", "secret", privacy.BadKey},
		{"n", "1.5", ""}, {"v", "abc", ""}, {"v", "abcd", privacy.NotFound}, {"f", "ab", ""}, {"f", "ab   ", ""}, {"f", "abcdefgh", privacy.NotFound},
		{"e", "red", ""}, {"e", "green", privacy.BadKey}, {"m", "ADA@b.C", ""}, {"b", "yes", ""},
	} {
		_, err := export(t, conn, g, privacy.Key{Column: tt.column, Values: []string{tt.value}}, ExportOptions{})
		var e *privacy.Error
		if errors.As(err, &e); tt.want == "" && err != nil || tt.want != "" && (e == nil || e.Code != tt.want) {
			t.Errorf("%s = %q: %v, want %q", tt.column, tt.value, err, tt.want)
		}
		if err != nil && strings.Contains(err.Error(), "secret") {
			t.Errorf("the error tells the value: %v", err)
		}
	}
}

func TestIncompletePolicy(t *testing.T) {
	conn := database(t, "", `
		CREATE TABLE customers (id int PRIMARY KEY, name text);
		CREATE TABLE orders (customer_id int REFERENCES customers, gift text, total int);
		CREATE TABLE unrelated (secret text);
		INSERT INTO customers VALUES (1, 'Ada')`)
	text := "version: 1\nmode: enforce\nclasses: {open: [public.customers.id, public.orders.customer_id, public.orders.total]}\nsubjects:\n" + customerByID
	doc, err := policy.Parse(policy.File{Name: "scene.yaml", Text: text})
	if err != nil {
		t.Fatal(err)
	}
	g, err := compile(t, conn, doc, "customer")
	if err != nil {
		t.Fatal(err)
	}
	const want = "columns without a class: public.customers.name, public.orders.gift; put them"
	_, err = export(t, conn, g, byKey("1"), ExportOptions{})
	wantCode(t, err, privacy.NotAllowed, want)
	_, err = DryRun(t.Context(), conn, g, byKey("1"))
	wantCode(t, err, privacy.NotAllowed, want)
}

func TestSchemaChanged(t *testing.T) {
	for _, tt := range []struct {
		change string
		stale  bool
	}{
		{"CREATE TABLE wishes (customer_id int REFERENCES customers)", true},
		{"CREATE TABLE returns (order_id int REFERENCES orders)", true},
		{"ALTER TABLE orders ADD gift text", true},
		{"CREATE TABLE old_orders () INHERITS (orders)", true},
		{"CREATE TABLE unrelated (id int)", false},
		{"ALTER TABLE customers DROP name", false},
	} {
		t.Run(tt.change, func(t *testing.T) {
			conn, g := scene(t, `
				CREATE TABLE customers (id int PRIMARY KEY, name text);
				CREATE TABLE orders (id int PRIMARY KEY, customer_id int REFERENCES customers);
				INSERT INTO customers VALUES (1)`, customerByID)
			if _, err := conn.Exec(t.Context(), tt.change); err != nil {
				t.Fatal(err)
			}
			_, err := export(t, conn, g, byKey("1"), ExportOptions{})
			if tt.stale {
				wantCode(t, err, privacy.SchemaChanged, "has changed")
			} else if err != nil {
				t.Error(err)
			}
		})
	}
}

// A row policy must not leave out rows in silence.
func TestRowPolicies(t *testing.T) {
	conn, g := scene(t, `
		CREATE TABLE customers (id int PRIMARY KEY);
		CREATE TABLE orders (customer_id int REFERENCES customers);
		INSERT INTO customers VALUES (1); INSERT INTO orders VALUES (1);
		ALTER TABLE orders ENABLE ROW LEVEL SECURITY;
		DO $$ BEGIN IF to_regrole('clerk') IS NULL THEN CREATE ROLE clerk; END IF; END $$;
		GRANT SELECT ON ALL TABLES IN SCHEMA public TO clerk;
		SET ROLE clerk`, customerByID)
	if _, err := export(t, conn, g, byKey("1"), ExportOptions{}); err == nil || !strings.Contains(err.Error(), "row-level security") {
		t.Errorf("error is %v", err)
	}
}

func TestUnsupported(t *testing.T) {
	for _, tt := range []struct{ name, script, subjects, want string }{
		{"a view", "CREATE VIEW customers AS SELECT 1 AS id", customerByID, "public.customers is not a table"},
		{"a domain over an extension's type", "CREATE EXTENSION citext; CREATE DOMAIN mail AS citext; CREATE TABLE customers (id mail PRIMARY KEY); CREATE TABLE orders (customer_id mail REFERENCES customers)", customerByID, "a domain over citext"},
		{"no such subject", "CREATE TABLE people (id int)", "  person: {table: public.people, key: id}\n", "has no such subject"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			conn := database(t, "", tt.script)
			_, err := compile(t, conn, scenePolicy(t, tt.subjects), "customer")
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error is %v, want %q", err, tt.want)
			}
		})
	}
	_, err := subjectNamed([]policy.Subject{{Name: "customer"}, {Name: "employee"}}, "custmer")
	wantCode(t, err, privacy.NoSubject, "did you mean customer?")
	_, err = subjectNamed(nil, "customer")
	wantCode(t, err, privacy.NoSubject, "has no subjects")
}

func TestHidden(t *testing.T) {
	r := &catalog.Relation{PrimaryKey: []int{0}}
	for _, name := range []string{"payee_no", "tenant_id", "payer_id", "payer_name", "payee_id", "payee_name", "payees", "payee_bank_id"} {
		r.Columns = append(r.Columns, catalog.Column{Name: name})
	}
	for _, tt := range []struct{ reference, others, want string }{
		{"payee_id", "payer_id payee_bank_id", "payee_id payee_name"},
		{"tenant_id payee_id", "tenant_id payer_id", "payee_id payee_name payee_bank_id"},
		{"tenant_id", "tenant_id payer_id", "tenant_id"},
		{"payer_id", "", "payer_id payer_name"},
	} {
		got := strings.Join(hidden(r, strings.Fields(tt.reference), strings.Fields(tt.others)), " ")
		if got != tt.want {
			t.Errorf("hidden(%s, others %s) = %s, want %s", tt.reference, tt.others, got, tt.want)
		}
	}
}

func TestComponents(t *testing.T) {
	for _, tt := range []struct {
		next [][]int
		want [][]int
	}{
		{nil, nil},
		{[][]int{{}, {0}, {1, 0}}, [][]int{{0}, {1}, {2}}},
		{[][]int{{1}, {2}, {0}, {2}}, [][]int{{0, 1, 2}, {3}}},
		{[][]int{{}, {0, 2}, {1}, {4, 2}, {3}}, [][]int{{0}, {1, 2}, {3, 4}}},
	} {
		if diff := cmp.Diff(tt.want, components(tt.next)); diff != "" {
			t.Errorf("components(%v): %s", tt.next, diff)
		}
	}
}
