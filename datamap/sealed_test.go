package datamap_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/pgveil/pgveil/datamap"
	"github.com/pgveil/pgveil/policy"
	"github.com/pgveil/pgveil/seal"
)

// TestSealed does not guess at ciphertext, and tells of it where it does not belong.
func TestSealed(t *testing.T) {
	conn := connect(t, "")
	execute(t, conn, "CREATE TABLE customers (id int PRIMARY KEY, email text, code text, photo bytea, extra jsonb, born text, copied text, thing text)")
	ring, err := seal.NewRing(seal.NewKey("c", seal.Primary, time.Now()))
	if err != nil {
		t.Fatal(err)
	}
	in := func(stored, value string) []byte {
		with, err := ring.Sealer(&policy.Sealed{Sealing: policy.Sealing{Mode: policy.SealRandomized}, Class: "c", Stored: stored, Values: "text"})
		if err != nil {
			t.Fatal(err)
		}
		sealed, err := with.Seal(nil, []byte(value))
		if err != nil {
			t.Fatal(err)
		}
		return sealed
	}
	for i := range 40 {
		born := string(in("text", "1980-02-29"))
		if i < 10 {
			born = "1980-02-29"
		}
		if _, err := conn.Exec(t.Context(), "INSERT INTO customers VALUES ($1, $2, $3, $4, $5, $6, $7, $8)", i, string(in("text", strings.Repeat("long ", 50))), string(in("text", "x")), in("bytea", "x"),
			string(in("jsonb", strings.Repeat("x", 5000))), born, string(in("text", "ada")), fmt.Sprint("pgv1-", i)); err != nil {
			t.Fatal(err)
		}
	}
	cat := catalogOf(t, conn)
	m, err := datamap.Scan(t.Context(), conn, cat, datamap.Options{})
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		column string
		class  datamap.Class
		sealed int
	}{
		{"id", datamap.Open, 0}, {"email", datamap.Email, 40}, {"code", datamap.Undecided, 40}, {"photo", datamap.Photo, 40},
		{"extra", datamap.Undecided, 40}, {"born", datamap.BirthDate, 30}, {"copied", datamap.Undecided, 40},
	} {
		c := column(t, m, "public.customers", tt.column)
		if c.Class != tt.class || c.Sealed != tt.sealed || c.Samples != 40 {
			t.Errorf("%s is %+v, want %q with %d sealed", tt.column, c, tt.class, tt.sealed)
		}
		for _, e := range c.Evidence {
			if tt.sealed == 40 && strings.Contains(e.Says, "samples") && e.Says != "40 of 40 samples are sealed" {
				t.Errorf("%s is judged by its ciphertext: %+v", tt.column, e)
			}
		}
	}
	if c := column(t, m, "public.customers", "thing"); c.Sealed != 0 {
		t.Errorf("a text is taken for sealed: %+v", c)
	}
	doc, err := policy.Parse(policy.File{Name: "p.yaml", Text: `
version: 1
mode: enforce
classes:
  open: [public.customers.id, public.customers.copied, public.customers.thing]
  email: {columns: [public.customers.email], seal: deterministic}
  birth: {columns: [public.customers.born], seal: randomized}
  rest: {columns: [public.customers.code, public.customers.photo, public.customers.extra], seal: randomized}
`})
	if err != nil {
		t.Fatal(err)
	}
	differences, err := m.Diff(doc, cat)
	if err != nil {
		t.Fatal(err)
	}
	var says []string
	for _, d := range differences {
		says = append(says, fmt.Sprintf("%s %s: %s", d.Kind, d.Name(), d.Says))
	}
	slices.Sort(says)
	want := []string{
		"contradicts public.customers.born: is sealed in the policy (birth), but 10 of 40 samples are in clear",
		"contradicts public.customers.copied: holds sealed values (40 of 40 samples), but its class open is not sealed: they may be another column's",
	}
	if !slices.Equal(says, want) {
		t.Errorf("differences are\n%s", strings.Join(says, "\n"))
	}
}
