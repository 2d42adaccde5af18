// Package load brings the access log into tables of the governed database, where
// auditors ask it in SQL. What counts are the log's files; Verify holds the
// tables against them.
//
// A Loader follows one log and writes in batches. How far it has come stands in
// pgveil.access_loads and is written in the transaction that writes the rows, so
// that a record is there once, whoever is killed when. Several processes may load
// one log at once: whoever finds that another has come further goes on from there.
//
// A record is loaded only once it is durable in the log. Otherwise a crash of the
// machine could take it from the log, and leave it in the table.
//
// A row is a statement with its outcome, or another record. What came in one
// batch is put together before it is written; an outcome that comes later is
// written into its row. Until then its fields are NULL.
//
// To look into a problem, start with what the process logs: "the access log's
// table". pgveil.access_loaded says how far the table has come.
package load
