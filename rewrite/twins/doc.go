// Package twins looks for leaks with statements that nobody thought of: it makes
// them up, runs what the engine makes of each on a fixture and on its twin, and
// compares everything that the caller gets to see. What differs tells of what
// the policy hides.
//
//	go test ./rewrite/twins                                 some thousand statements
//	make twins STATEMENTS=100000 SEED=7                     many, and sqlsmith's
//	go test ./rewrite/twins -run Twins -seed 7 -batch 31    one batch of a run again
//
// # What is made
//
// A generator makes statements of every form that callers with restrictions may
// send, for one caller after the other: joins, sub-selects, WITH, set
// operations, groups, windows, whole rows, writes with RETURNING and ON CONFLICT,
// MERGE, COPY, cursors, prepared statements, EXPLAIN, the system's tables. The
// templates of expressions (expr.go) hold much that fails for some values, since
// whether it fails may tell which they are. Constants are values, and pieces of
// values, that the hidden columns of either database hold. Everything comes from
// the seed. sqlsmith, of which TestSmith reads, knows nothing of pgveil and so
// makes what we would not.
//
// # What is compared
//
// Rows in the order in which they came, columns' names and types, tags, errors
// and notices, less what the proxy withholds (outcome.redact). Order is compared
// even where nothing orders the rows: both servers have the same files, get the
// same statements and know no statistics, so they take the same plan, unless it
// hangs on something hidden. For this the servers are copies of one cluster that
// nothing vacuums or analyzes, and that are made anew after some thousand
// statements; defaults do not ask for the time; and a batch ends when a statement
// times out. The twin also has rows
// that nobody sees (hidden.sql), so that numbers of rows show if anything hangs
// on them. random() and its like are not made.
//
// # What is told on purpose
//
// A policy confirms a guess where it says match: equality, and a unique index
// does for whoever writes. No difference is excused by looking at it; the guesses
// are not made:
//
//   - Half of the batches run with the policy as it is. A value that only one of
//     the databases holds, in a column that this caller may ask for by equality,
//     is then in no statement. Values that both hold, or neither, are.
//   - The other half run with match: equality taken out of the policy. Nothing
//     is confirmed to anybody then, and every value may be guessed.
//   - A value that only one database holds in a column of a unique index is in no
//     statement that writes.
//
// # What it finds
//
// A leak is an outcome that differs, made smaller (reduce.go) and printed as a
// .case block: with its promise above it, it belongs into testdata/cases. Internal
// is an error of Plan that is no refusal. These fail the test. The others are
// listed, for somebody to look at. Order: the same rows came in another order; a
// row that is written moves to where there is room, and hidden rows take room.
// Rejected and misread: the server does not understand what is sent, or the
// engine refuses a name, though the server understands what the caller wrote.
//
// It does not look at timing, at what several statements tell together beyond
// one text, or at the protocol: see proxy.
package twins
