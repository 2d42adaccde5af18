package rewrite

import (
	"slices"

	"github.com/pgveil/pgveil/catalog"
	"github.com/pgveil/pgveil/policy"
)

// The access log knows a subject by the text of its key. Where a column holds a
// key in another form, as 1 for 1.00, or where the form is the session's, as
// that of a date, the subject would be somebody else. Such keys are not read.

// textOf gives what types have in common whose equal values have one text; ""
// where equal values may have several.
func textOf(t catalog.Type) string {
	switch t.Base {
	case "int2", "int4", "int8", "oid":
		return "integer"
	case "text", "varchar", "bpchar", "name":
		return "text"
	case "uuid", "bool", "char":
		return t.Base
	case "numeric":
		if t.Kind != 'd' && t.Mod >= 0 {
			return t.SQL
		}
	}
	if t.Kind == 'e' {
		return t.SQL
	}
	return ""
}

// ownText are the types of which a value has the text that it was given, in
// every session.
var ownText = []string{"numeric", "citext"}

// namesByText tells whether a key is the text by which its subject is known.
func namesByText(set *policy.Set, rel *catalog.Relation, k policy.SubjectKey) bool {
	column := k.Columns[0]
	if len(k.Through) > 0 {
		last := k.Through[0]
		rel, column = last.Relation, last.Columns[len(last.Columns)-1]
	}
	held, _ := rel.Column(column)
	return slices.ContainsFunc(set.Subjects(), func(s policy.Subject) bool {
		key, _ := s.Relation.Column(s.Key)
		own := s.Relation == rel && s.Key == column && slices.Contains(ownText, key.Type.Base)
		return s.Name == k.Kind && (own || textOf(key.Type) != "" && textOf(key.Type) == textOf(held.Type))
	})
}
