package dsar

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"

	"github.com/pgveil/pgveil/policy"
	"github.com/pgveil/pgveil/privacy"
	"github.com/pgveil/pgveil/state"
)

// erasable is a scene with pgveil's own tables and a policy of its own.
func erasable(t testing.TB, script, text string) (*pgx.Conn, *Graph) {
	t.Helper()
	conn := database(t, "", state.Schema()+script)
	return conn, erasing(t, conn, text)
}

// erasing compiles a policy about customers.
func erasing(t testing.TB, conn *pgx.Conn, text string) *Graph {
	t.Helper()
	doc, err := policy.Parse(policy.File{Name: "erase.yaml", Text: "version: 1\nmode: enforce\n" + text})
	if err != nil {
		t.Fatal(err)
	}
	g, err := compile(t, conn, doc, "customer")
	if err != nil {
		t.Fatal(err)
	}
	return g
}

// allOpen is a policy in which every column is open, and what it says of erasing.
func allOpen(erase string) string {
	return "classes: {open: [\"public.*.*\"]}\nsubjects:\n  customer: {table: public.customers, key: id" + erase + "}\n"
}

func plan(t testing.TB, conn *pgx.Conn, g *Graph, values ...string) ErasurePlan {
	t.Helper()
	p, err := PlanErasure(t.Context(), conn, g, byKey(values...))
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// erase plans and erases.
func erase(t testing.TB, conn *pgx.Conn, g *Graph, o EraseOptions, values ...string) Erased {
	t.Helper()
	o.Plan, o.Key = plan(t, conn, g, values...), byKey(values...)
	o.Request = max(o.Request, 1)
	done, err := Erase(t.Context(), conn, g, o)
	if err != nil {
		t.Fatalf("%v\n%v", err, planLines(o.Plan))
	}
	return done
}

func planLines(p ErasurePlan) []string {
	var lines []string
	for _, s := range p.Steps {
		line := fmt.Sprintf("%s %d %s", s.Action, s.Rows, strings.TrimPrefix(s.Table, "public."))
		for _, c := range s.Columns {
			line += fmt.Sprintf(" %s=%s", c.Column, c.Value)
		}
		lines = append(lines, line)
	}
	return lines
}

// contents gives every row of the tables of the users, in order.
func contents(t testing.TB, conn *pgx.Conn) []string {
	t.Helper()
	var all []string
	for _, name := range query[string](t, conn, `SELECT format('%I.%I', schemaname, tablename) FROM pg_tables
		WHERE schemaname NOT IN ('pg_catalog', 'information_schema', 'pgveil') AND schemaname !~ '^pg_temp' ORDER BY 1`) {
		for _, row := range query[string](t, conn, fmt.Sprintf("SELECT to_jsonb(t)::text FROM ONLY %s AS t ORDER BY 1", name)) {
			all = append(all, strings.TrimPrefix(name, "public.")+" "+row)
		}
	}
	return all
}

func wantContents(t *testing.T, conn *pgx.Conn, want string) {
	t.Helper()
	if diff := cmp.Diff(strings.Split(strings.TrimSpace(want), "\n"), contents(t, conn)); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

func TestErase(t *testing.T) {
	for _, tt := range []struct{ name, script, policy, want string }{
		{"names with quotes, composite keys, no primary key", `
			CREATE TABLE customers (tenant int, id int, "na""me" text, PRIMARY KEY (tenant, id));
			CREATE TABLE "Or'ders ""x""" (tenant int, customer int, "no" int, FOREIGN KEY (tenant, customer) REFERENCES customers);
			INSERT INTO customers VALUES (7, 1, 'a'), (8, 2, 'b');
			INSERT INTO "Or'ders ""x""" VALUES (7, 1, 1), (7, 1, 1), (8, 2, 1), (NULL, NULL, 5)`,
			allOpen(""), `
"Or'ders ""x""" {"no": 1, "tenant": 8, "customer": 2}
"Or'ders ""x""" {"no": 5, "tenant": null, "customer": null}
customers {"id": 2, "na\"me": "b", "tenant": 8}`},
		{"a cycle that cannot be null, restricted, and rows that refer to their like", `
			CREATE TABLE customers (id int PRIMARY KEY, main int NOT NULL, referred_by int REFERENCES customers);
			CREATE TABLE accounts (id int PRIMARY KEY, customer_id int NOT NULL REFERENCES customers ON DELETE RESTRICT, parent int REFERENCES accounts);
			INSERT INTO customers VALUES (1, 10), (2, 20), (3, 30); UPDATE customers SET referred_by = 1 WHERE id <> 1;
			INSERT INTO accounts VALUES (10, 1, NULL), (11, 1, 10), (12, 1, 11), (20, 2, NULL), (30, 3, 12);
			ALTER TABLE customers ADD FOREIGN KEY (main) REFERENCES accounts;`,
			allOpen(""), `
accounts {"id": 20, "parent": null, "customer_id": 2}
accounts {"id": 30, "parent": null, "customer_id": 3}
customers {"id": 2, "main": 20, "referred_by": null}
customers {"id": 3, "main": 30, "referred_by": null}`},
		{"deferred constraints and generated columns", `
			CREATE TABLE customers (id int PRIMARY KEY, name text, upper text GENERATED ALWAYS AS (upper(name)) STORED);
			CREATE TABLE orders (id int PRIMARY KEY, customer_id int REFERENCES customers DEFERRABLE INITIALLY DEFERRED);
			INSERT INTO customers VALUES (1, 'a'), (2, 'b'); INSERT INTO orders VALUES (10, 1), (20, 2)`,
			allOpen(""), `
customers {"id": 2, "name": "b", "upper": "B"}
orders {"id": 20, "customer_id": 2}`},
		{"partitions and heirs", `
			CREATE TABLE customers (id int PRIMARY KEY) PARTITION BY HASH (id);
			CREATE TABLE c0 PARTITION OF customers FOR VALUES WITH (MODULUS 2, REMAINDER 0);
			CREATE TABLE c1 PARTITION OF customers FOR VALUES WITH (MODULUS 2, REMAINDER 1);
			CREATE TABLE logs (line text, customer_id int REFERENCES customers);
			CREATE TABLE old_logs () INHERITS (logs);
			CREATE TABLE events (customer_id int REFERENCES customers, at date) PARTITION BY RANGE (at);
			CREATE TABLE events_25 PARTITION OF events FOR VALUES FROM ('2025-01-01') TO ('2026-01-01');
			CREATE TABLE events_26 PARTITION OF events DEFAULT;
			INSERT INTO customers VALUES (1), (2);
			INSERT INTO logs VALUES ('a', 1), ('b', 2); INSERT INTO old_logs VALUES ('c', 1), ('d', 2);
			INSERT INTO events VALUES (1, '2025-02-02'), (1, '2026-02-02'), (2, '2025-02-02'), (2, '2026-02-02')`,
			allOpen(""), `
c0 {"id": 2}
events_25 {"at": "2025-02-02", "customer_id": 2}
events_26 {"at": "2026-02-02", "customer_id": 2}
logs {"line": "b", "customer_id": 2}
old_logs {"line": "d", "customer_id": 2}`},
		{"what is kept for a time, what is not any more, and what it refers to", `
			CREATE TABLE customers (id int PRIMARY KEY, name text, email text NOT NULL UNIQUE);
			CREATE TABLE invoices (id int PRIMARY KEY, customer_id int NOT NULL REFERENCES customers, paid date);
			INSERT INTO customers VALUES (1, 'Ada', 'ada@x'), (2, 'Bob', 'bob@x');
			INSERT INTO invoices VALUES (10, 1, '1990-01-01'), (11, 1, '2026-01-01'), (12, 1, NULL), (20, 2, '1990-01-01')`, `
classes: {open: ["public.*.id", "public.*.customer_id", "public.invoices.*"], name: [public.customers.name], mail: {columns: [public.customers.email], erase: constant('gone')}}
subjects:
  customer: {table: public.customers, key: id, erase: [{on: [public.customers], do: anonymise}, {on: [public.invoices], do: keep, because: tax, for: 10y, after: paid}]}
`, `
customers {"id": 1, "name": null, "email": "gone"}
customers {"id": 2, "name": "Bob", "email": "bob@x"}
invoices {"id": 11, "paid": "2026-01-01", "customer_id": 1}
invoices {"id": 12, "paid": null, "customer_id": 1}
invoices {"id": 20, "paid": "1990-01-01", "customer_id": 2}`},
		{"moments without end, before Christ and beyond all calendars", `
			CREATE TABLE customers (id int PRIMARY KEY);
			CREATE TABLE invoices (id int PRIMARY KEY, customer_id int NOT NULL REFERENCES customers, paid date);
			INSERT INTO customers VALUES (1);
			INSERT INTO invoices VALUES (1, 1, '-infinity'), (2, 1, 'infinity'), (3, 1, '5874897-12-31'), (4, 1, '0044-03-15 BC')`,
			allOpen(`, erase: [{on: [public.customers], do: anonymise}, {on: [public.invoices], do: keep, because: tax, for: 10y, after: paid}]`), `
customers {"id": 1}
invoices {"id": 1, "paid": "-infinity", "customer_id": 1}
invoices {"id": 2, "paid": "infinity", "customer_id": 1}
invoices {"id": 3, "paid": "5874897-12-31", "customer_id": 1}`},
		{"rows of others and what stands beside the reference", `
			CREATE TABLE customers (id int PRIMARY KEY);
			CREATE TABLE orders (id int PRIMARY KEY, customer_id int NOT NULL REFERENCES customers, gift_for_id int REFERENCES customers, gift_for_name text NOT NULL);
			CREATE TABLE staff (id int PRIMARY KEY, customer_id int REFERENCES customers, customer_phone varchar(4));
			INSERT INTO customers VALUES (1), (2);
			INSERT INTO orders VALUES (10, 1, 2, 'Bob'), (20, 2, 1, 'Ada'); INSERT INTO staff VALUES (5, 1, '1234'), (6, 2, '5678')`, `
classes: {open: ["public.*.*"]}
subjects:
  customer: {table: public.customers, key: id}
  agent: {table: public.staff, key: id}
`, `
customers {"id": 2}
orders {"id": 20, "customer_id": 2, "gift_for_id": null, "gift_for_name": "anonymised"}
staff {"id": 5, "customer_id": null, "customer_phone": null}
staff {"id": 6, "customer_id": 2, "customer_phone": "5678"}`},
		{"references that two ways take out of one row", `
			CREATE TABLE customers (id int PRIMARY KEY);
			CREATE TABLE orders (id int PRIMARY KEY, customer_id int NOT NULL REFERENCES customers);
			CREATE TABLE leads (id int PRIMARY KEY, customer_id int REFERENCES customers ON DELETE SET NULL, order_id int REFERENCES orders ON DELETE CASCADE);
			INSERT INTO customers VALUES (1), (2); INSERT INTO orders VALUES (10, 1), (20, 2); INSERT INTO leads VALUES (1, 1, 20), (2, 2, 20), (3, 2, 10)`,
			allOpen(`, erase: [{on: [public.leads], do: keep, because: "statistics"}]`), `
customers {"id": 2}
leads {"id": 1, "order_id": 20, "customer_id": null}
leads {"id": 2, "order_id": 20, "customer_id": 2}
leads {"id": 3, "order_id": null, "customer_id": 2}
orders {"id": 20, "customer_id": 2}`},
		{"references that share a column with others", `
			CREATE TABLE tenants (id int PRIMARY KEY);
			CREATE TABLE customers (tenant int REFERENCES tenants, id int, PRIMARY KEY (tenant, id));
			CREATE TABLE orders (id int PRIMARY KEY, tenant int REFERENCES tenants, customer int, friend int, payer int,
				FOREIGN KEY (tenant, customer) REFERENCES customers, FOREIGN KEY (tenant, friend) REFERENCES customers);
			INSERT INTO tenants VALUES (7); INSERT INTO customers VALUES (7, 1), (7, 2);
			INSERT INTO orders VALUES (10, 7, 2, NULL, 1), (11, 7, 1, NULL, NULL), (12, 7, 2, 2, 1)`, `
classes: {open: ["public.*.*"]}
subjects:
  customer: {table: public.customers, key: id, references: [{from: [public.orders.tenant, public.orders.payer], to: [tenant, id]}], erase: [{on: [public.orders], do: keep, because: tax}]}
`, `
customers {"id": 2, "tenant": 7}
orders {"id": 10, "payer": null, "friend": null, "tenant": 7, "customer": 2}
orders {"id": 11, "payer": null, "friend": null, "tenant": 7, "customer": null}
orders {"id": 12, "payer": null, "friend": 2, "tenant": 7, "customer": 2}
tenants {"id": 7}`},
		{"a trigger that keeps count in the subject's row", `
			CREATE TABLE customers (id int PRIMARY KEY, orders int);
			CREATE TABLE orders (id int PRIMARY KEY, customer_id int REFERENCES customers);
			CREATE TABLE lines (id int PRIMARY KEY, order_id int REFERENCES orders);
			INSERT INTO customers VALUES (1, 2), (2, 1); INSERT INTO orders VALUES (10, 1), (11, 1), (20, 2); INSERT INTO lines VALUES (1, 10), (2, 20);
			CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN UPDATE customers SET orders = orders - 1 WHERE id = OLD.customer_id; RETURN NULL; END';
			CREATE TRIGGER t AFTER DELETE ON orders FOR EACH ROW EXECUTE FUNCTION f()`,
			allOpen(""), `
customers {"id": 2, "orders": 1}
lines {"id": 2, "order_id": 20}
orders {"id": 20, "customer_id": 2}`},
		{"a trigger that writes the subject's row when others are anonymised", `
			CREATE TABLE customers (id int PRIMARY KEY, name text, writes int DEFAULT 0);
			CREATE TABLE tickets (id int PRIMARY KEY, customer_id int REFERENCES customers, body text);
			INSERT INTO customers VALUES (1, 'Ada'), (2, 'Bob'); INSERT INTO tickets VALUES (10, 1, 'x'), (11, 1, 'y'), (20, 2, 'z');
			CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN UPDATE customers SET writes = writes + 1 WHERE id = NEW.customer_id; RETURN NULL; END';
			CREATE TRIGGER t AFTER UPDATE ON tickets FOR EACH ROW EXECUTE FUNCTION f()`, `
classes: {open: ["public.*.id", "public.*.writes", "public.*.customer_id"], name: [public.customers.name], note: [public.tickets.body]}
subjects:
  customer: {table: public.customers, key: id, erase: [{on: [public.customers, public.tickets], do: anonymise}]}
`, `
customers {"id": 1, "name": null, "writes": 2}
customers {"id": 2, "name": "Bob", "writes": 0}
tickets {"id": 10, "body": null, "customer_id": 1}
tickets {"id": 11, "body": null, "customer_id": 1}
tickets {"id": 20, "body": "z", "customer_id": 2}`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			conn, g := erasable(t, tt.script, tt.policy)
			key := []string{"1"}
			if strings.Contains(tt.script, "tenant") {
				key = []string{"7", "1"}
			}
			before := contents(t, conn)
			p := plan(t, conn, g, key...)
			if diff := cmp.Diff(before, contents(t, conn)); diff != "" {
				t.Fatalf("a plan has changed: %s", diff)
			}
			done, err := Erase(t.Context(), conn, g, EraseOptions{Request: 1, Key: byKey(key...), Plan: p})
			if err != nil {
				t.Fatalf("%v\n%s", err, strings.Join(planLines(p), "\n"))
			}
			wantContents(t, conn, tt.want)
			if done.Rows != p.Rows() {
				t.Errorf("%d rows were written, planned are %d: %v", done.Rows, p.Rows(), done.Steps)
			}
			again, err := Erase(t.Context(), conn, g, EraseOptions{Request: 1, Key: byKey(key...), Plan: p})
			if err != nil || again.Digest != done.Digest {
				t.Errorf("once more: %v, %v", again, err)
			}
			wantContents(t, conn, tt.want)
		})
	}
}

// What cannot be done is said before anything is, and how it could be.
func TestErasureRefused(t *testing.T) {
	const two = `CREATE TABLE customers (id int PRIMARY KEY, name text); CREATE TABLE orders (id int PRIMARY KEY, customer_id int NOT NULL REFERENCES customers, note text);
		INSERT INTO customers VALUES (1, 'Ada'), (2, 'Bob'); INSERT INTO orders VALUES (10, 1, 'x'), (20, 2, 'y');`
	const trigger = `CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN %s END $$; CREATE TRIGGER t %s ON %s FOR EACH ROW EXECUTE FUNCTION f();`
	anonymise := `, erase: [{on: [public.customers], do: anonymise}]`
	named := func(erase, option string) string {
		return `classes: {open: ["public.*.id", "public.orders.*"], name: {columns: [public.customers.name]` + option + "}}\nsubjects:\n  customer: {table: public.customers, key: id" + erase + "}\n"
	}
	for _, tt := range []struct{ name, script, policy, want string }{
		{"kept rows refer", two, allOpen(`, erase: [{on: [public.orders], do: keep, because: tax}]`), "which cannot be null; let what they refer to be anonymised: {on: [public.customers], do: anonymise}"},
		{"a trigger keeps the row", two + fmt.Sprintf(trigger, "RETURN NULL;", "BEFORE DELETE", "orders"), allOpen(""), "a trigger of public.orders keeps 1 rows"},
		{"a trigger keeps the value", two + fmt.Sprintf(trigger, "NEW.name := OLD.name; RETURN NEW;", "BEFORE UPDATE", "customers"), named(anonymise, ""), "a trigger of public.customers does not let name be written"},
		{"a trigger keeps a copy", "CREATE TABLE archive (line text);" + two + fmt.Sprintf(trigger, "INSERT INTO public.archive VALUES (OLD.name); RETURN OLD;", "BEFORE DELETE", "customers"), allOpen(""), "puts rows into public.archive"},
		{"a trigger raises, with a value", two + fmt.Sprintf(trigger, "RAISE EXCEPTION 'no % here', OLD.name;", "BEFORE DELETE", "customers"), allOpen(""), "SQLSTATE P0001: a trigger perhaps"},
		{"a trigger raises, and calls a value a constraint", two + fmt.Sprintf(trigger, "RAISE EXCEPTION USING MESSAGE = OLD.name, ERRCODE = 'AB123', CONSTRAINT = OLD.name, COLUMN = OLD.name;", "BEFORE DELETE", "customers"), allOpen(""), "SQLSTATE AB123: a trigger perhaps"},
		{"a trigger that writes others of its table", two + fmt.Sprintf(trigger, "UPDATE public.orders SET note = note WHERE id > NEW.id; RETURN NULL;", "AFTER UPDATE", "orders") + "INSERT INTO orders VALUES (11, 1, 'Ada')",
			named(`, erase: [{on: [public.orders], do: anonymise}, {on: [public.customers], do: anonymise}]`, ""), "a trigger of public.orders writes rows of it"},
		{"a session without foreign keys", two + "SET session_replication_role = replica", allOpen(""), "session_replication_role is replica"},
		{"a rule", two + "CREATE RULE r AS ON DELETE TO orders DO INSTEAD NOTHING;", allOpen(""), "the rule r changes what ON DELETE does"},
		{"a check", two + "ALTER TABLE customers ADD CONSTRAINT known CHECK (name IS NOT NULL);", named(anonymise, ""), "the constraint known of public.customers"},
		{"a natural key", "CREATE TABLE customers (id int UNIQUE, name text PRIMARY KEY); CREATE TABLE orders (id int); INSERT INTO customers VALUES (1, 'Ada')", named(anonymise, ""), `"erase" of class "name"`},
		{"a type without a harmless value", "CREATE TABLE customers (id int PRIMARY KEY, name polygon NOT NULL); CREATE TABLE orders (id int); INSERT INTO customers VALUES (1, '((0,0))')", named(anonymise, ""), "no value of its type"},
		{"null where there must be one", "CREATE TABLE customers (id int PRIMARY KEY, name text NOT NULL); CREATE TABLE orders (id int); INSERT INTO customers VALUES (1, 'Ada')", named(anonymise, `, erase: "null"`), "it cannot be null"},
		{"a table that is not reached", "CREATE TABLE other (id int);" + two, allOpen(`, erase: [{on: [public.other], do: keep, because: x}]`), "no rows of a customer are found there"},
		{"a hold on what refers", two + "INSERT INTO pgveil.holds (kind, key, relation, matter, made_by, ends_at) VALUES ('customer', '1', 'public.orders', 'Smith v. us', 'x', 'infinity');", allOpen(""), "they are held (Smith v. us)"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			conn, g := erasable(t, tt.script, tt.policy)
			before := contents(t, conn)
			p := plan(t, conn, g, "1")
			var said []string
			for _, s := range p.Steps {
				if s.Action == Refuse {
					said = append(said, s.Reason)
				}
			}
			if text := strings.Join(said, "\n"); !strings.Contains(text, tt.want) || strings.Contains(text, "Ada") {
				t.Errorf("refused because %q, want %q", text, tt.want)
			}
			_, err := Erase(t.Context(), conn, g, EraseOptions{Request: 1, Key: byKey("1"), Plan: p})
			wantCode(t, err, privacy.NotAllowed, "")
			// Whoever takes the refusal out of the plan gets no further.
			p.Steps = slices.DeleteFunc(p.Steps, func(s Step) bool { return s.Action == Refuse })
			if _, err := Erase(t.Context(), conn, g, EraseOptions{Request: 2, Key: byKey("1"), Plan: p}); err == nil {
				t.Error("erased all the same")
			}
			if diff := cmp.Diff(before, contents(t, conn)); diff != "" {
				t.Errorf("something was done: %s", diff)
			}
		})
	}
}

// Whoever approves a plan is told of triggers that change rows of others in the
// tables that are written anyway.
func TestTriggersBeside(t *testing.T) {
	conn, g := erasable(t, `CREATE TABLE customers (id int PRIMARY KEY, name text, note text); INSERT INTO customers VALUES (1, 'Ada'), (2, 'Bob');
		CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN UPDATE public.customers SET note = OLD.name WHERE id = 2; RETURN NULL; END';
		CREATE TRIGGER t AFTER DELETE ON customers FOR EACH ROW EXECUTE FUNCTION f()`, allOpen(""))
	const want = "triggers change other rows of public.customers"
	if p := plan(t, conn, g, "1"); !strings.Contains(strings.Join(p.Warnings, "\n"), want) {
		t.Errorf("warnings are %q", p.Warnings)
	}
	if _, err := conn.Exec(t.Context(), "DROP TRIGGER t ON customers"); err != nil {
		t.Fatal(err)
	}
	if p := plan(t, conn, g, "1"); strings.Contains(strings.Join(p.Warnings, "\n"), want) {
		t.Errorf("warnings are %q", p.Warnings)
	}
}
