// Package sweep looks for values in a whole database: in every column of every
// table that could hold text, and in the statistics that the server keeps of
// them. It is how an erasure shows that nothing is left, and how what no
// reference leads to is found.
//
// In go needles, of one subject or of ten thousand; out comes where they lie,
// by table, column, row and the needle's name. Values are never given, nor kept
// any longer than a row is looked at:
//
//	report, err := sweep.Database(ctx, conn, cat, []sweep.Needle{{Name: "email", Value: "ada@example.com"}}, sweep.Options{})
//
// Every table is read once, by COPY, however many needles there are. Rows are
// compared without regard to case; numbers also without what people write
// between digits. docs/finding.md says what is found and what is not.
//
// Whoever misses a hit should look at Report.NotSearched first, then at how
// needle.go reads the value, and last at fold.go.
package sweep
