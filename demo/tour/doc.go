// Command tour shows what pgveil does, on a PostgreSQL of its own that holds
// the demo's CRM, through the real pgveil and its real commands.
//
// It walks through promises: a heading, what is promised, the statement as it
// was sent, what came back. Every step then checks its promise against what the
// server holds, which it asks around pgveil; the exit status is 0 only if all
// of them held.
//
// Afterwards everything stays up to be tried out, until interrupted; -once ends
// it at once. Nothing is left behind, however it ends: the server and pgveil
// each run under a shell that outlives the tour only to clean up after it.
//
// To debug a step, run without -once and look at pgveil's answer with psql.
package main
