// Clients runs the programs and drivers that people use PostgreSQL with, as
// they are, through pgveil, and says which of them notice.
//
// A client is a folder with a program "run" in it, one level or two down from
// here. The program is given one argument, the login that it works as, and the
// usual PG* variables, TLS with a verified certificate among them. It prints
// what it sees and exits with 0; with 77 when what it needs is not installed.
//
// Each client is run on databases made anew for it:
//
//	direct        as dora, straight to PostgreSQL
//	unrestricted  as dora, through pgveil: it must print the same
//	restricted    as alice and ana on the shop and as crm_app on the CRM, through
//	              pgveil: it must print what LOGIN.want beside it says
//
// Drivers all print the same as restricted logins, which is in want/. A client
// without a LOGIN.want of its own, and without a file "driver", is not run as
// that login. Whatever a client prints as a restricted login is searched for
// the values that the policy hides, and the values must be in the database
// afterwards as they were: neither depends on what the client expects.
//
// pgveil itself must have logged no error, and must end well when told to.
package main
