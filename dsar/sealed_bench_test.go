package dsar

import (
	"fmt"
	"testing"
)

// BenchmarkExportSealed exports 5000 rows with three sealed values each, and as many that
// are not.
func BenchmarkExportSealed(b *testing.B) {
	conn, g := erasable(b, "CREATE TABLE customers (id int PRIMARY KEY); CREATE TABLE rows (id int PRIMARY KEY, customer_id int REFERENCES customers, a text, b text, c text); INSERT INTO customers VALUES (1)", `
classes:
  open: [public.customers.id, public.rows.id, public.rows.customer_id]
  some: {columns: [public.rows.a, public.rows.b, public.rows.c], seal: randomized, clear: accept}
subjects:
  customer: {table: public.customers, key: id}`)
	g.Values = sealingValues(b, "some")
	for _, sealed := range []bool{true, false} {
		if _, err := conn.Exec(b.Context(), "TRUNCATE rows"); err != nil {
			b.Fatal(err)
		}
		for i := range 5000 {
			values := []string{"a", "b", "c"}
			for j, column := range values {
				if values[j] = fmt.Sprint("value of ", column, i); sealed {
					values[j] = sealedIn(b, g, "public.rows."+column, values[j]).text
				}
			}
			if _, err := conn.Exec(b.Context(), "INSERT INTO rows VALUES ($1, 1, $2, $3, $4)", i, values[0], values[1], values[2]); err != nil {
				b.Fatal(err)
			}
		}
		b.Run(fmt.Sprintf("sealed=%v", sealed), func(b *testing.B) {
			for b.Loop() {
				if _, err := Export(b.Context(), conn, g, byKey("1"), ExportOptions{}, func([]byte) error { return nil }); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
