package requests

import (
	"slices"

	"github.com/pgveil/pgveil/catalog"
	"github.com/pgveil/pgveil/policy"
	"github.com/pgveil/pgveil/privacy"
)

// placeholder stands for a name that nobody knows.
const placeholder = "?"

// Recorded gives a command with no names but those that the policy or the catalog
// know, for the access log: what a client sends in the place of a name may be
// anything, a data subject's address for one.
func Recorded(cmd privacy.Command, set *policy.Set, cat *catalog.Snapshot) privacy.Command {
	keep := func(name *string, known bool) {
		if *name != "" && !known {
			*name = placeholder
		}
	}
	keep(&cmd.Subject, slices.ContainsFunc(set.Subjects(), func(s policy.Subject) bool { return s.Name == cmd.Subject }))
	keep(&cmd.Purpose, slices.ContainsFunc(set.Grounds(), func(g policy.Ground) bool { return g.Purpose == cmd.Purpose }))
	keep(&cmd.Consent.Name, slices.ContainsFunc(set.Grounds(), func(g policy.Ground) bool { return g.Consent == cmd.Consent.Name }))
	keep(&cmd.Key.Column, hasColumn(cat, cmd.Key.Column))
	keep(&cmd.Request.Table, slices.ContainsFunc(cat.Relations(), func(r *catalog.Relation) bool { return r.QualifiedName() == cmd.Request.Table }))
	cmd.Request.Changes = slices.Clone(cmd.Request.Changes)
	for i := range cmd.Request.Changes {
		c := &cmd.Request.Changes[i]
		keep(&c.Column, hasColumn(cat, c.Column))
	}
	return cmd
}

// hasColumn tells whether some relation has a column of that name.
func hasColumn(cat *catalog.Snapshot, name string) bool {
	return slices.ContainsFunc(cat.Relations(), func(r *catalog.Relation) bool {
		_, ok := r.Column(name)
		return ok
	})
}
