// Package harden inspects a database server for ways around pgveil, and says how
// each is closed.
//
// In go a Site, which says by which logins pgveil comes and from where, and a
// connection of an operator's; out come Findings, each with the statements that
// close it, or with what an operator does by hand where closing it would take
// something away from somebody who may need it. Script prints them as one
// transaction; Apply runs it, and takes it back unless every login that pgveil
// comes by can do all that it could.
//
// What only files decide, pg_hba.conf and the settings of the whole server, is
// printed and never written.
package harden
