package dsar

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/pgveil/pgveil/catalog"
	"github.com/pgveil/pgveil/policy"
	"github.com/pgveil/pgveil/privacy"
)

// Anonymising gives the columns that change when rows of a table are to tell of
// nobody, whosever they are, and what they become: what an erasure would make of
// them, as SQL over the row o, of so many rows: those of sealed columns are sealed. References stay, so that what they lead to must be
// anonymised or erased by itself.
func Anonymising(ctx context.Context, tx pgx.Tx, set *policy.Set, v Values, r *catalog.Relation, rows int64) (columns, values []string, err error) {
	facts, err := columnFacts(ctx, tx, r.OID)
	if err != nil {
		return nil, nil, fmt.Errorf("reading the columns of %s: %w", r.QualifiedName(), withoutValues(err))
	}
	var become []becomes
	for _, f := range factsOf(set, r, facts) {
		class, ok := set.Class(r, f.name)
		if !ok {
			return nil, nil, privacy.Fail(privacy.NotAllowed, `put it into "classes" in the policy`, "%s is in no class: nobody has said what its data is", f.reference)
		}
		if _, ok := r.Column(f.name); !ok {
			return nil, nil, privacy.Fail(privacy.SchemaChanged, "try again shortly", "%s is new: the schema has changed since it was read", f.reference)
		}
		b, changes, err := f.becomes(r, class)
		if err != nil {
			return nil, nil, err
		}
		if changes {
			become = append(become, b)
			if hashes, ok := b.beside(facts); ok {
				become = append(become, hashes)
			}
		}
	}
	if become == nil {
		return nil, nil, privacy.Fail(privacy.NotAllowed, "say \"then: delete\", or what its columns become", "nothing of %s would be anonymised", r.QualifiedName())
	}
	if become, err = v.fill(ctx, become, rows); err != nil {
		return nil, nil, err
	}
	for _, b := range become {
		c, _ := r.Column(b.column)
		columns = append(columns, b.column)
		values = append(values, fmt.Sprintf("CAST(%s AS %s)", b.value, c.Type.SQL))
	}
	return columns, values, nil
}
