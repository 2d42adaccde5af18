package dsar

import (
	"os"
	"strings"
	"testing"
)

// The policy in the documentation compiles, and finds what it says.
func TestFindingDocs(t *testing.T) {
	text, err := os.ReadFile("../docs/finding.md")
	if err != nil {
		t.Fatal(err)
	}
	_, example, _ := strings.Cut(string(text), "```yaml\n")
	example, _, ok := strings.Cut(example, "```\n")
	if !ok {
		t.Fatal("docs/finding.md has no example")
	}
	conn := database(t, "", `
		CREATE SCHEMA crm; SET search_path = crm;
		CREATE TABLE customers (tenant int, no int, id int PRIMARY KEY, email text);
		CREATE TABLE orders (id int PRIMARY KEY, customer_id int REFERENCES customers);
		CREATE TABLE visits (customer_ref text);
		CREATE TABLE notes (owner_type text, owner_id int);
		CREATE TABLE events (payload jsonb);
		CREATE TABLE teams (member_ids int[]);
		CREATE TABLE mails (to_address text);
		CREATE TABLE carts (tenant int, customer_no int);
		CREATE TABLE folders (id int PRIMARY KEY, within int REFERENCES folders, customer_id int REFERENCES customers);
		INSERT INTO customers VALUES (1, 7, 42, 'Ada@example.com'), (2, 7, 43, 'bob@example.com');
		INSERT INTO orders VALUES (10, 42), (11, 43); INSERT INTO visits VALUES ('42'), ('43');
		INSERT INTO notes VALUES ('customer', 42), ('Order', 10), ('order', 11), ('lead', 42);
		INSERT INTO events VALUES ('{"customer": {"id": 42}}'), ('{"customer": {"id": 43}}'); INSERT INTO teams VALUES ('{42}'), ('{43}');
		INSERT INTO mails VALUES ('ada@EXAMPLE.com'), ('bob@example.com'); INSERT INTO carts VALUES (1, 7), (2, 7);
		INSERT INTO folders VALUES (1, NULL, 42), (2, 1, NULL), (3, 2, NULL), (4, NULL, NULL);
		RESET search_path`)
	g := erasing(t, conn, "classes: {open: [\"crm.*.*\"]}\n"+example)
	want := map[string]int{"customers": 1, "orders": 1, "visits": 1, "notes": 2, "events": 1, "teams": 1, "mails": 1, "carts": 1, "folders": 3}
	doc := mustExport(t, conn, g, "42")
	for table, n := range want {
		if got := doc.Counts["crm."+table]; got != n {
			t.Errorf("%d rows of %s, want %d", got, table, n)
		}
	}
	if len(doc.Counts) != len(want) {
		t.Errorf("tables are %v", doc.Counts)
	}
}
