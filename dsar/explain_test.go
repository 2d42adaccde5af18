package dsar

import (
	"encoding/xml"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/pgveil/pgveil/policy"
)

// sixtyTables is a schema of 60 tables around a customer.
func sixtyTables() string {
	var b strings.Builder
	b.WriteString("CREATE TABLE customers (id int PRIMARY KEY, email text);\n")
	areas := []string{"orders", "tickets", "campaigns", "contracts", "visits", "loyalty"}
	for i := range 59 {
		area := areas[i%len(areas)]
		switch {
		case i < len(areas):
			fmt.Fprintf(&b, "CREATE TABLE %s (id int PRIMARY KEY, customer_id int NOT NULL REFERENCES customers);\n", area)
		case i%7 == 0:
			fmt.Fprintf(&b, "CREATE TABLE %s_part_%d (id int PRIMARY KEY, %[1]s_id int REFERENCES %[1]s, customer_id int REFERENCES customers);\n", area, i)
		case i > 30 && i%5 == 0:
			fmt.Fprintf(&b, "CREATE TABLE %s_detail_%d (id int, part_id int REFERENCES %s_part_14);\n", area, i, areas[14%len(areas)])
		default:
			fmt.Fprintf(&b, "CREATE TABLE %s_part_%d (id int PRIMARY KEY, %[1]s_id int NOT NULL REFERENCES %[1]s ON DELETE CASCADE);\n", area, i)
		}
	}
	return b.String()
}

func TestExplain(t *testing.T) {
	conn := database(t, "", `
		CREATE TABLE companies (id int PRIMARY KEY);
		CREATE TABLE customers (id int PRIMARY KEY, name text, company_id int REFERENCES companies);
		CREATE TABLE vips (lounge text) INHERITS (customers);
		CREATE TABLE orders (id int PRIMARY KEY, customer_id int NOT NULL REFERENCES customers, secret text);
		CREATE TABLE invoices (order_id int NOT NULL REFERENCES orders, customer_id int REFERENCES customers, sent date);
		CREATE TABLE transfers (payer_id int NOT NULL REFERENCES customers, payee_id int NOT NULL REFERENCES customers);
		CREATE TABLE leads (customer_id int REFERENCES customers ON DELETE SET NULL, referred_by int);
		CREATE TABLE notes (owner_type text, owner_id int, payload jsonb);
		CREATE VIEW best AS SELECT id FROM customers`)
	doc, err := policy.Parse(policy.File{Name: "explain.yaml", Text: `
version: 1
mode: enforce
classes: {open: ["public.c*.*", "public.v*.*", public.orders.id, public.orders.customer_id, "public.invoices.*", "public.t*.*", "public.l*.*", "public.n*.*"]}
subjects:
  customer:
    table: public.customers
    key: id
    references:
      - {from: public.notes.owner_id, where: {owner_type: [customer, "\"<c>&"]}}
      - {from: public.notes.payload, path: owner.id}
      - {from: public.best.id}
    erase: [{on: public.invoices, do: keep, because: "tax <law>", for: 10y, after: sent}]
`})
	if err != nil {
		t.Fatal(err)
	}
	g, err := compile(t, conn, doc, "customer")
	if err != nil {
		t.Fatal(err)
	}
	e := g.Explain()
	want := `A customer is known by id. 7 tables hold rows of one.

public.customers     subject   delete
├─ public.vips       subject   delete                   by inheritance
├─ public.invoices   shared    keep for 10y after sent  by customer_id, or order_id -> public.orders (tax <law>)
├─ public.orders     owned     delete                   by customer_id
├─ public.transfers  shared    delete                   by payee_id or payer_id (of those that are another's as well the reference is taken out)
├─ public.notes      shared    delete                   by owner_id where owner_type is customer or "<c>& or payload:owner.id (of those that are another's as well the reference is taken out)
└─ public.leads      mentions  set null                 by customer_id (the schema lets the row live on without what it refers to)

What these rows refer to, and which belongs to no customer:
  public.customers.company_id -> public.companies
  public.vips.company_id -> public.companies

Not followed:
  public.best.id -> public.customers (a view has no rows of its own)
  public.best.id -> public.vips (a view has no rows of its own)

In no class, so that no request is answered until the policy says what they are:
  public.orders: secret
`
	if diff := cmp.Diff(want, e.Text()); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	wellFormed(t, e.SVG())
	for _, part := range []string{`"public.notes" -> "public.customers" [label="owner_id where owner_type is customer or \"<c>&\npayload:owner.id"]`, `"public.invoices" -> "public.orders" [label="order_id", style=dashed]`, `"public.customers" -> "public.companies" [color="#bbbbbb"`} {
		if !strings.Contains(e.DOT(), part) {
			t.Errorf("%s is not in\n%s", part, e.DOT())
		}
	}
	if e.Complete {
		t.Error("a column is in no class, and the explanation is complete")
	}
	if diff := cmp.Diff(e.SVG()+e.DOT()+e.Text(), g.Explain().SVG()+g.Explain().DOT()+g.Explain().Text()); diff != "" {
		t.Error(diff)
	}
}

func wellFormed(t *testing.T, text string) {
	t.Helper()
	for d := xml.NewDecoder(strings.NewReader(text)); ; {
		if _, err := d.Token(); err == io.EOF {
			return
		} else if err != nil {
			t.Fatal(err)
		}
	}
}

// A large schema is drawn without boxes on one another.
func TestDrawing(t *testing.T) {
	_, g := scene(t, sixtyTables(), customerByID)
	svg := g.Explain().SVG()
	wellFormed(t, svg)
	type corner struct{ x, y float64 }
	var boxes []corner
	for _, part := range strings.Split(svg, "<title>")[1:] {
		var c corner
		_, rect, _ := strings.Cut(part, "<rect ")
		if _, err := fmt.Sscanf(rect, `x="%f" y="%f"`, &c.x, &c.y); err != nil {
			t.Fatal(err)
		}
		for _, other := range boxes {
			if other.x == c.x && c.y-other.y < boxHeight && other.y-c.y < boxHeight {
				t.Errorf("boxes at %v and %v lie on one another", c, other)
			}
		}
		boxes = append(boxes, c)
	}
	if len(boxes) != len(g.Tables) || len(boxes) != 60 {
		t.Errorf("%d boxes for %d tables", len(boxes), len(g.Tables))
	}
}
