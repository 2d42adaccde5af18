package policy

import (
	"strings"
	"testing"

	"github.com/pgveil/pgveil/catalog"
)

// calls is a database of a partitioned table, a partition of it that is
// partitioned itself, and a table that inherits from two others.
func calls() *catalog.Snapshot {
	below := func(oid uint32, name string, kind catalog.RelKind, parents ...uint32) catalog.Relation {
		r := relationOf(oid, "app", name, kind, "note", "text", "id", "int8")
		r.Parents, r.Partition = parents, len(parents) == 1
		return r
	}
	return catalog.New(catalog.Parts{Relations: []catalog.Relation{
		relationOf(1, "app", "calls", catalog.PartitionedTable, "id", "int8", "note", "text"),
		below(2, "calls_2026", catalog.PartitionedTable, 1),
		below(3, "calls_2026_01", catalog.Table, 2),
		relationOf(4, "app", "texts", catalog.Table, "id", "int8", "note", "text"),
		below(5, "both", catalog.Table, 1, 4),
	}})
}

func TestInherit(t *testing.T) {
	for _, tt := range []struct {
		name, classes string
		want          string // the classes of the notes of calls, calls_2026, calls_2026_01, texts and both, or the error
	}{
		{"nobody classified the children", "{secret: [app.calls.note]}", "secret secret secret - secret"},
		{"nobody classified the parent", "{open: [app.calls_2026.note]}", "- open open - -"},
		{"a wider pattern matches the children", `{open: ["app.*.*"], secret: [app.calls.note, app.texts.note]}`, "secret secret secret secret secret"},
		{"whatever it is for", `{secret: ["*.*.note"], open: ["app.calls.*", app.texts.note]}`, "open open open open open"},
		{"the name of the child alone is less than that of the column", `{open: ["app.calls_2026*.*"], secret: [app.calls.note]}`, "secret secret secret - secret"},
		{"a child's child inherits from the parent", `{open: ["app.*.*"], secret: [app.calls.note, app.texts.note], other: ["app.calls_2026_01.n*"]}`, "secret secret secret secret secret"},
		{"as specific a pattern contradicts", "{open: [app.calls.note], secret: [app.calls_2026_01.note]}",
			`app.calls_2026_01.note is "secret", but "open" in app.calls_2026`},
		{"a more specific pattern contradicts", `{open: ["app.*.*"], secret: [app.calls_2026.note]}`,
			`app.calls_2026.note is "secret", but "open" in app.calls,`},
		{"two parents contradict each other", `{secret: [app.calls.note], open: ["app.texts.*"]}`,
			`app.both.note is "secret", but "open" in app.texts`},
		{"whichever of them comes first", `{open: ["app.calls.*"], secret: [app.texts.note]}`,
			`app.both.note is "secret", but "open" in app.calls`},
		{"and the child cannot settle it", `{secret: [app.calls.note, app.both.note], open: ["app.texts.*"]}`,
			`app.both.note is "secret", but "open" in app.texts`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			d, err := Parse(File{"p.yaml", "version: 1\nmode: enforce\nclasses: " + tt.classes})
			if err != nil {
				t.Fatal(err)
			}
			cat := calls()
			s, err := Compile(d, cat)
			if err != nil {
				if !strings.Contains(err.Error(), tt.want) {
					t.Errorf("error %q, want %q", err, tt.want)
				}
				return
			}
			var got []string
			for _, name := range []string{"calls", "calls_2026", "calls_2026_01", "texts", "both"} {
				class, ok := s.Class(mustRelation(t, cat, "app", name), "note")
				if !ok {
					class.Name = "-"
				}
				got = append(got, class.Name)
			}
			if got := strings.Join(got, " "); got != tt.want {
				t.Errorf("classes %s, want %s", got, tt.want)
			}
		})
	}
}
