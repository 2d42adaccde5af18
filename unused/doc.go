// Package unused compares what a policy grants with what the access log shows
// used: what nobody used over a period is a candidate for a narrower policy
// (data minimisation, GDPR Article 5(1)(c)).
//
// In go a policy's Inventory and the records of a log, one by one; out comes a
// Report, with an item for everything that the policy grants, and the changes
// that would take away what was not used. Memory is bounded by the policy and
// not by the log.
//
//	t := unused.New(set.Inventory(), unused.Period{From: from, To: to, Few: 3}, set.Generation())
//	for r, err := range audit.ReadKinds(dir, unused.Kinds()...) { … t.Add(&r) }
//	report := t.Report()
//
// Where the log leaves something open it counts as used: a statement that
// failed used what it named; one of a user with several roles counts for each of
// them; a table whose name stands in a statement's shape was used. A refused
// statement used nothing. So what is reported as unused is so as far as the log
// reaches, and Report says in notes how far that is.
//
// It changes nothing, and proposes nothing in whose place another rule or entry
// of the same role would stand and could show more. It looks at one role at a
// time: who has several may reach a table by another one then. To look into a line, ask pgveil audit query with its role, purpose
// and class.
package unused
