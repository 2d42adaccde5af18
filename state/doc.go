// Package state is what pgveil remembers in the database that it governs, in a
// schema of its own, pgveil: who asked to be elevated and who approved it. It
// is there because several proxies in front of one database must know the same,
// and because what hides rows must be seen by the statement that reads them.
//
// The schema is made by the statements of Schema, which the verb "pgveil schema"
// prints or applies: nothing here creates a table by itself. The login that
// pgveil reads the catalog with owns them.
package state
