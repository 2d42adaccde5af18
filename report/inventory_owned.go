package report

import (
	"github.com/pgveil/pgveil/catalog"
	"github.com/pgveil/pgveil/policy"
)

// ownedRelations gives, by kind of subject, the relations whose rows cannot be
// without the subject's: its own table, what refers to it other than by ON DELETE
// SET NULL or SET DEFAULT, what refers to that, and so on, but for the tables of
// other kinds.
func ownedRelations(set *policy.Set) map[string]map[*catalog.Relation]bool {
	named := map[catalog.Name]*catalog.Relation{}
	for _, r := range set.Governed() {
		named[catalog.Name{Schema: r.Schema, Name: r.Name}] = r
	}
	kinds := map[*catalog.Relation]bool{}
	for _, s := range set.Subjects() {
		kinds[s.Relation] = true
	}
	owned := map[string]map[*catalog.Relation]bool{}
	for _, s := range set.Subjects() {
		from := references(set, s, named)
		found := map[*catalog.Relation]bool{s.Relation: true}
		for line := []*catalog.Relation{s.Relation}; len(line) > 0; line = line[1:] {
			for _, r := range from[line[0]] {
				if !found[r] && !kinds[r] {
					found[r] = true
					line = append(line, r)
				}
			}
		}
		owned[s.Name] = found
	}
	return owned
}

// references gives what refers to each relation, for a kind of subject.
func references(set *policy.Set, s policy.Subject, named map[catalog.Name]*catalog.Relation) map[*catalog.Relation][]*catalog.Relation {
	from := map[*catalog.Relation][]*catalog.Relation{}
	for _, r := range set.Governed() {
		for _, fk := range r.ForeignKeys {
			to := named[catalog.Name{Schema: fk.RefSchema, Name: fk.RefTable}]
			if to != nil && fk.OnDelete != 'n' && fk.OnDelete != 'd' {
				from[to] = append(from[to], r)
			}
		}
	}
	for _, ref := range s.References {
		from[ref.To] = append(from[ref.To], ref.Relation)
	}
	return from
}
