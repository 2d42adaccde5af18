package policy

import (
	"strings"
	"testing"

	"github.com/pgveil/pgveil/catalog"
)

func compiledWith(text string, cat *catalog.Snapshot) (*Set, error) {
	d, err := Parse(File{"p.yaml", text})
	if err != nil {
		return nil, err
	}
	return Compile(d, cat, Clock(atTestDay))
}

func TestErasing(t *testing.T) {
	for _, tt := range []struct{ written, want, problem string }{
		{"keep", "keep", ""},
		{"null", "null", ""},
		{"first(1)", "first(1)", ""},
		{"constant('gone')", "constant('gone')", ""},
		{"token", "token", ""},
		{"hash", "", "a hash still tells equal values"},
		{"shred", "", `unknown mask "shred"`},
		{"year", "", "mask year is not defined for text"},
	} {
		text := "version: 1\nmode: enforce\nclasses:\n  open: [\"crm.*.*\"]\n  name: {columns: [crm.customers.first_name], erase: \"" + tt.written + "\"}\n"
		cat := crm()
		set, err := compiledWith(text, cat)
		if tt.problem != "" {
			if err == nil || !strings.Contains(err.Error(), tt.problem) {
				t.Errorf("erase: %s gives %v, want an error with %q", tt.written, err, tt.problem)
			}
			continue
		}
		if err != nil {
			t.Errorf("erase: %s gives %v", tt.written, err)
			continue
		}
		customers, _ := cat.Relation(nil, "crm", "customers")
		class, _ := set.Class(customers, "first_name")
		if got := class.Erase.String(); got != tt.want {
			t.Errorf("erase: %s is %q, want %q", tt.written, got, tt.want)
		}
	}
}
