// Package policy decides who sees what.
//
// In go the YAML files of a policy and a catalog; out comes a Set, which gives
// each caller an Access, which says of each relation what may be done to it,
// for which rows, and how each column is shown:
//
//	doc, err := policy.Load("policy")            // every mistake in the files
//	set, err := policy.Compile(doc, cat)         // every name that means nothing
//	access, err := set.Access("alice", "support")
//	access.Relation(customers).Views[0].Columns  // clear, masked or refused
//
// The language is described in docs/policy.md, whose examples the tests
// compile. The package is pure: it reads files in Load and nothing else, and
// knows no SQL beyond the tokens of a row filter. What it grants it grants
// because the policy says so: every zero value refuses.
//
// A surprising decision is best looked at through Access.Why, and the Rule and
// Because of its Treatment. Document is made in sections.go, compared with the
// catalog in compile.go and classify.go, and decided on in decide.go (who) and
// relation.go (what).
package policy
