// Clients runs the programs and drivers that people use PostgreSQL with, as
// they are, through pgveil, and says which of them notice.
//
// A client is a folder with a program "run" in it, one or two levels down from
// here. The program is given one argument, the login that it works as, and the
// usual PG* variables, among them TLS with a certificate to verify. It prints
// what it sees and exits with 0, or with 77 when what it needs is not installed.
//
// Each client is run on databases made anew for it:
//
//	direct        as dora, straight to PostgreSQL
//	unrestricted  as dora, through pgveil: it must print the same
//	restricted    as alice and ana on the shop and as crm_app on the CRM, through
//	              pgveil: it must print what LOGIN.want beside "run" says
//
// A client without a LOGIN.want is not run as that login. With -update the
// files that there are get what the client printed; to add a login to a client,
// make an empty one.
//
// A client with an endusers.want is an application that signs who its end users
// are, with the secret in the file CRM_KEY_FILE. It runs through pgveil only, on
// the shop as crm_app, under endusers.yaml. Its recipe.* is what
// docs/end-users.md shows.
//
// A client named sealed-* runs on a table of its own: straight to PostgreSQL on one
// with columns of the types that it uses, and through pgveil, as dora and as alice
// under sealed.yaml, on one whose columns are sealed. It must print the same, and
// leave rows, in which no value is as it was.
//
// Three things are checked whatever a client expects. What it prints as a
// restricted login holds none of the values that the policy hides from it; the
// values that it saw masked are in the database afterwards as they were; and
// pgveil logged no error and ended well.
//
// What psql and other programs print of a catalog, and so some LOGIN.want, is of
// PostgreSQL 15 and the versions of Debian 12.
package main
