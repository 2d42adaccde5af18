// Package dsar answers the requests of data subjects: what is held on this
// person, and what would go if it were erased.
//
// In go a command, the policy and the catalog; out come the rows of an answer:
//
//	cmd, ok, err := privacy.ParseCommand("PRIVACY EXPORT customer 42;")
//	graph, err := dsar.NewGraph(set, cat, cmd.Subject) // which tables hold rows of a customer
//	_, err = dsar.Export(ctx, conn, graph, cmd.Key, dsar.ExportOptions{}, yield)
//
// Service does all three, and is what the proxy, the command line and the
// console call. docs/data-subject-requests.md says which rows belong to whom
// and why.
//
// One SQL statement finds everything: a WITH clause in which rN names the rows
// of Tables[N], each by tableoid and ctid. Those two name a row, with or
// without a primary key and in whichever partition, for as long as the
// transaction's snapshot lasts. The server thus keeps track of what was
// visited and this process holds one row at a time, however many there are.
//
// Package makes files of the same rows, for a person to be handed, and
// VerifyPackage checks them. Rectify changes values in a subject's own rows.
//
// PlanErasure tries an erasure and takes it back, Erase carries the plan out:
// it lists the rows by their versions (erase_work.go), treats them in batches
// or at once (erase_run.go, erase_finish.go), and writes each step into a
// journal in the transaction that does it. docs/erasure.md says what happens
// to which rows, and docs/adr/0030 why they are named as they are.
//
// Whoever misses rows in an export should look at NotFollowed in the document
// first, then at Graph.Tables, and last at the statement of closure.go.
package dsar
