// Package state is what pgveil remembers in the database that it governs, in a
// schema of its own, pgveil: who asked to be elevated and who approved it. It
// is there because several proxies in front of one database must know the same,
// and because what hides rows must be seen by the statement that reads them.
//
// The schema is made by the statements of Schema, which the verb "pgveil schema"
// prints or applies: nothing here creates a table by itself. The login that
// pgveil reads the catalog with owns them.
//
// A second factor is kept so that who reads or writes the database cannot make a
// code: its secret is sealed (AES-256-GCM) under a key that pgveil alone has, and
// bound to its user; of recovery codes there are keyed digests. Who can write the
// table can still remove a second factor, or make a used code good again.
package state
