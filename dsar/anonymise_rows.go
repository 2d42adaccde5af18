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
// them, as SQL over the row o. References stay, so that what they lead to must be
// anonymised or erased by itself.
func Anonymising(ctx context.Context, tx pgx.Tx, set *policy.Set, r *catalog.Relation) (columns, values []string, err error) {
	facts, err := columnFacts(ctx, tx, r.OID)
	if err != nil {
		return nil, nil, fmt.Errorf("reading the columns of %s: %w", r.QualifiedName(), withoutValues(err))
	}
	for _, f := range facts {
		f.reference = r.QualifiedName() + "." + f.name
		class, ok := set.Class(r, f.name)
		if !ok {
			return nil, nil, privacy.Fail(privacy.NotAllowed, `put it into "classes" in the policy`, "%s is in no class: nobody has said what its data is", f.reference)
		}
		f.class = class.Name
		c, ok := r.Column(f.name)
		if !ok {
			return nil, nil, privacy.Fail(privacy.SchemaChanged, "try again shortly", "%s is new: the schema has changed since it was read", f.reference)
		}
		b, changes, err := f.becomes(r, class)
		if err != nil {
			return nil, nil, err
		}
		if changes {
			columns = append(columns, f.name)
			values = append(values, fmt.Sprintf("CAST(%s AS %s)", b.value, c.Type.SQL))
		}
	}
	if columns == nil {
		return nil, nil, privacy.Fail(privacy.NotAllowed, "say \"then: delete\", or what its columns become", "nothing of %s would be anonymised", r.QualifiedName())
	}
	return columns, values, nil
}
