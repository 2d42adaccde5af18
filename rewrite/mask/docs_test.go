package mask

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/pgveil/pgveil/policy"
)

// TestDocumentation runs the examples of docs/masks.md, in which every mask
// must have one, in the order of what the masks reveal.
func TestDocumentation(t *testing.T) {
	text, err := os.ReadFile("../../docs/masks.md")
	if err != nil {
		t.Fatal(err)
	}
	conn := connect(t)
	last, described := policy.MaskKind(0), 0
	for line := range strings.Lines(string(text)) {
		cells := strings.Split(line, "|")
		if len(cells) != 8 || !strings.HasPrefix(cells[1], " `") {
			continue
		}
		for i, cell := range cells {
			cells[i] = strings.Trim(strings.TrimSpace(cell), "`")
		}
		m := parseMask(t, cells[1])
		if m.Kind < last || m.Kind > last+1 {
			t.Errorf("%s follows %s", m.Kind, last)
		}
		if m.Kind > last {
			described++
		}
		last = m.Kind
		name := fmt.Sprintf("doc%d", described)
		exec(t, conn, "DROP TABLE IF EXISTS "+name)
		exec(t, conn, fmt.Sprintf("CREATE TABLE %s (v %s)", name, cells[3]))
		exec(t, conn, fmt.Sprintf("INSERT INTO %s VALUES (%s)", name, literal(cells[4])))
		r := relation(t, conn, name)
		r.Schema, r.Name = "crm", "customers" // what hash is told
		got := texts(t, conn, fmt.Sprintf("SELECT (%s)::text FROM %s t", expr(t, m, r, &r.Columns[0]), name))
		if got[0] != cells[5] {
			t.Errorf("%s of %s %s gives %s, not %s as documented", m, cells[3], cells[4], got[0], cells[5])
		}
	}
	if want := len(policy.MaskKinds()); described != want {
		t.Errorf("%d masks have examples, want all %d", described, want)
	}
}
