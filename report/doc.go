// Package report makes the reports that people ask an access log and a policy
// for: what somebody got (Breach), who may see what (Review), and the record of
// processing activities (ROPA).
//
// In go the records of a log, one by one, and for the latter two a policy; out
// comes a model, which is also the report's JSON. A Document puts it into words;
// a Document is written as Markdown or as one HTML page.
//
//	v, err := report.Investigate(scope, limits, zone)
//	for r, err := range audit.ReadTo(dir, head) { … v.Add(r) }
//	v.EndLog()
//	breach := v.Findings(1000)
//	err = breach.Document().HTML(w)
//
// Where the log leaves something open, a breach has it in: a statement without
// an outcome counts as if it had returned all that it names, of any number of
// subjects. What is confirmed and what is an upper bound are never added up.
//
// Texts in a model are as the log has them, and clients chose some: a name of an
// application may be a script. They are made visible and escaped where they are
// written out, by clean, plain and html/template, and nowhere before.
//
// Memory is bounded by what is listed (Limits) and by the policy, not by the
// log, but for statements that have not ended: these are held until their
// outcome, the end of their session, or the next start of pgveil.
//
// It reads no files of a log and asks no database. To look into a number, ask
// pgveil audit query for the same user and time.
package report
