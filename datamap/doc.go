// Package datamap finds personal data in a database and proposes a policy.
//
//	m, err := datamap.Scan(ctx, conn, cat, datamap.Options{})   // samples the tables
//	m := datamap.Read(cat)                                     // or judges by names and types alone
//	files := m.Policy()                                        // YAML that policy.Compile accepts against cat
//	found, err := m.Diff(doc, cat)                             // what an existing policy says otherwise
//
// Each column is judged by what it is called (words), by its type, and by its
// sampled values (look, profile): what they are as a whole, by package recognise
// and by shapes and lists of words, and what is inside of texts and JSON. Each of
// these is Evidence with a weight; together they give a class and a confidence
// (judge). Evidence counts samples and never holds a value.
//
// What nothing was found in is open only where there is a reason to call it
// harmless: its type, that it is a key, or samples enough. Everything else stays
// undecided, is in no class of the proposed policy, and so refused.
//
// The package decides nothing about who may see what: the proposed roles refuse
// until somebody writes rules. Views stand for their queries and need no class;
// foreign tables and views are not read, for to read them can run anybody's code.
//
// Where a column gets a class that it should not have, look at its Evidence
// (pgveil scan --json) first, then at the phrases in words/columns.txt.
package datamap
