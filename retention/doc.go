// Package retention removes rows whose time is over, by the rules of the policy.
//
//	plan, err := retention.NewPlan(ctx, conn, set, cat, able)      // what would go: changes nothing
//	result, err := retention.Run(ctx, conn, retention.Options{…}) // removes it, batch by batch
//
// A rule is a policy.Retention. Its rows are due when the date in them is farther
// back than the rule's time, by the server's clock: no other counts. A date without
// a time zone is taken as that of the place where it is reached last (UTC-12), so
// that no row goes before its time is over everywhere. Rows without a date are never
// due; the plan counts them.
//
// A row that is due stays
//
//   - while a hold is over it, over a subject that it belongs to by any way that
//     references lead, or over a row that would go or change with it;
//   - while rows refer to it that do not go with it. Those that go are what the
//     schema says ON DELETE CASCADE of, and what the rule names under "with". Where
//     the rows that refer are in a table without a rule, the whole rule is refused:
//     they would keep it forever.
//
// A run takes rows in batches, each a transaction of its own: it locks the rows that
// nobody else has locked, keeps new holds out until it ends, takes what hangs on them
// from the leaves up, writes into pgveil.retention_batches what it took, and has its
// record made durable before it commits. There is one run at a time. Nothing is left
// half done by a run that is killed: the next one takes what is still due.
//
// Whole subjects are erased by a function that is given; so are assignments that make
// rows tell of nobody. Without them rules that need one are refused.
//
// To see why a row stays, read the rule's plan: "pgveil retention plan".
package retention
