package dsar

import (
	"context"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/pgveil/pgveil/catalog"
	"github.com/pgveil/pgveil/policy"
	"github.com/pgveil/pgveil/privacy"
)

// Anonymising gives the assignments of an UPDATE that make rows of a table tell of
// nobody, whosever they are: what an erasure would make of them. The row is called
// o. References stay, so that what they lead to must be anonymised or erased by
// itself.
func Anonymising(ctx context.Context, tx pgx.Tx, set *policy.Set, r *catalog.Relation) (string, error) {
	facts, err := columnFacts(ctx, tx, r.OID)
	if err != nil {
		return "", fmt.Errorf("reading the columns of %s: %w", r.QualifiedName(), withoutValues(err))
	}
	var assignments []string
	for _, f := range facts {
		f.reference = r.QualifiedName() + "." + f.name
		class, ok := set.Class(r, f.name)
		if !ok {
			return "", privacy.Fail(privacy.NotAllowed, `put it into "classes" in the policy`, "%s is in no class: nobody has said what its data is", f.reference)
		}
		f.class = class.Name
		c, ok := r.Column(f.name)
		if !ok {
			return "", privacy.Fail(privacy.SchemaChanged, "try again shortly", "%s is new: the schema has changed since it was read", f.reference)
		}
		b, changes, err := f.becomes(r, class)
		if err != nil {
			return "", err
		}
		if changes {
			assignments = append(assignments, fmt.Sprintf("%s = CAST(%s AS %s)", quote(f.name), b.value, c.Type.SQL))
		}
	}
	if assignments == nil {
		return "", privacy.Fail(privacy.NotAllowed, "say \"then: delete\", or what its columns become", "nothing of %s would be anonymised", r.QualifiedName())
	}
	return strings.Join(assignments, ", "), nil
}
