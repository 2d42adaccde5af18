package policy

import (
	"strings"
	"testing"

	"github.com/pgveil/pgveil/catalog"
)

func TestCannotSeal(t *testing.T) {
	nine := SealFormat{Alphabet: "digits", Least: 9, Most: 9}
	typed := func(schema, name string, kind byte, mod int32) catalog.Column {
		return catalog.Column{Name: "v", Type: catalog.Type{Schema: schema, Name: name, SQL: name, Kind: kind, Mod: mod, Base: name}}
	}
	domain := typed("crm", "address", 'd', -1)
	domain.Type.Base, domain.Type.BaseSchema = "text", "pg_catalog"
	text, varchar := typed("pg_catalog", "text", 'b', -1), typed("pg_catalog", "varchar", 'b', 8+varHeader)
	refers := []catalog.ForeignKey{{Columns: []string{"v"}, RefSchema: "crm", RefTable: "t", RefColumns: []string{"v"}}}
	for _, tt := range []struct {
		name    string
		column  catalog.Column
		primary []int
		foreign []catalog.ForeignKey
		sealing Sealing
		why     string
	}{
		{"text", text, nil, nil, Sealing{Mode: SealRandomized}, ""},
		{"a domain", domain, nil, nil, Sealing{Mode: SealRandomized}, "its type is the domain address"},
		{"an enum of that name", typed("crm", "text", 'e', -1), nil, nil, Sealing{Mode: SealRandomized}, "its type is text"},
		{"a format", varchar, nil, nil, Sealing{Mode: SealDeterministic, Format: SealFormat{"digits", 6, 8}}, ""},
		{"a format without room", varchar, nil, nil, Sealing{Mode: SealDeterministic, Format: nine}, "digits(9) does not fit"},
		{"a key", text, []int{0}, nil, Sealing{Mode: SealDeterministic}, ""},
		{"a key at random", text, []int{0}, nil, Sealing{Mode: SealRandomized}, "it is part of a key"},
		{"a reference", text, nil, refers, Sealing{Mode: SealDeterministic, Joins: true}, ""},
		{"a reference at random", text, nil, refers, Sealing{Mode: SealRandomized}, "it is part of a key"},
		{"a reference that does not join", text, nil, refers, Sealing{Mode: SealDeterministic}, "it refers to another column"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			rel := catalog.Relation{Schema: "crm", Name: "t", Kind: catalog.Table, Columns: []catalog.Column{tt.column}, PrimaryKey: tt.primary, ForeignKeys: tt.foreign}
			got := cannotSeal(&rel, 0, tt.sealing)
			if (got == "") != (tt.why == "") || !strings.HasPrefix(got, tt.why) {
				t.Errorf("cannotSeal(%s, %+v) = %q, want %q", tt.column.Type.SQL, tt.sealing, got, tt.why)
			}
		})
	}
}
