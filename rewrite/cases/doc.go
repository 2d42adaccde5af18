// Package cases reads and runs .case files: small scripts that say, for one
// caller, what becomes of a statement. The same format serves pgveil's own
// tests, the tests of a user's policy (pgveil test) and the documentation.
//
//	# Support staff see customers, but card numbers arrive masked.
//	use shop
//	as alice purpose=support
//
//	plan
//	SELECT id, card FROM customers WHERE id = 1
//	----
//	mask
//	column public.customers.card card last(4)
//	column public.customers.id open clear
//
//	rows
//	SELECT card FROM customers WHERE id = 1
//	----
//	************1111
//
// # Format
//
// A file is a list of directives and cases. A line that starts with # is a
// comment. It says what is promised, not what the SQL does, and speaks for the
// cases below it up to the next comment. A case that expects a refusal or an
// error must have one.
//
// Directives stand on one line each:
//
//	use FIXTURE            a folder of the fixtures; one that starts with a dot
//	                       is looked for from the file's own folder ("use .")
//	as LOGIN [WORD …]      who asks, in a new session; needed after each use
//	set search_path LIST   until the next as or use; also set pgveil.purpose P
//	reveals COLUMN         the next case tells, on purpose, something of a
//	                       hidden schema.table.column
//	since N                the next case runs on servers of PostgreSQL N and
//	                       newer only
//
// The words after a login say more of who asks. What says nothing of the time is
// as of when it runs, which only cases may that mean the same whenever that is.
//
//	purpose=P                 the purpose; else the one that is implied
//	user=U                    who acts behind the login
//	vouched                   a signed token names the user, and says no more;
//	vouched=roles:R,R;groups:G,G;ATTRIBUTE:VALUE
//	                          it says these things, of which each may be missing
//	second_factor             a second factor was given
//	beyond                    a limit was reached that hides values
//	elevated=ROLE:PURPOSE     an elevation is in force; there may be several
//	from=ADDRESS              where the connection comes from, or from=unix
//	at=2026-11-22T19:12Z      when it is
//
// A case is a verb, lines of SQL until a line of four dashes, and the expected
// block until a blank line or the end of the file. The SQL may hold blank
// lines; the block need not: in it a newline is written \n, a carriage return
// \r and a backslash \\.
//
// plan decides the text, without a server. Its lines are, in this order:
//
//	allow | mask | observe | unrestricted | refuse SQLSTATE MESSAGE
//	hint TEXT              of a refusal
//	rule FILE:LINE         of a refusal; files are named from the fixture
//	command NAME           one a statement
//	column NAME CLASS SHOW [write]
//	                       one a classified column used, sorted; "-" is no class
//	reason TEXT            rules that decided, rows filtered, columns left out
//	rewrite SQL            what is sent
//
// The first must be there. Of the others a case states the kinds that it
// cares for, and each kind that it states must be complete and equal.
//
// rows runs the text on a server and shows each row as a line, values joined
// by " | ", ∅ for NULL, two single quotes for an empty text, a vertical bar as \|. A statement
// without columns shows "tag INSERT 0 1", one that selects nothing "(no rows)",
// and an error "error SQLSTATE MESSAGE". A first line "columns a | b" asks for
// the columns' names as well. Everything else must be complete.
//
// audit runs the text and shows what the access log says of it. Its lines are,
// of each record: decision, command, login, user, purpose, column, reason, sqlstate,
// rows, tag. A case states the kinds that it cares for, as with plan.
//
// # The twin
//
// A fixture's twin.sql is rows.sql with only that changed which the policy
// hides. Every case that is not refused also runs on a database made of the
// twin and must have the same outcome: rows, names of columns, tags, errors.
// If not, it told something that the policy hides, and fails; unless it says so
// with reveals, and then it fails when nothing was revealed. What plan lets
// through must also be SQL that the server takes.
//
// A text with parameters runs with NULL for each, as a case has no values for
// them. A fixture and its twin are copies of one database, so what the catalog
// tells, object identifiers as well, is equal; the name of either is told as the
// fixture's.
//
// # What it does not do
//
// Nothing unknown is passed over: a directive, verb, argument, kind of line,
// fixture, user, role, group, attribute, elevation or column that does not exist
// fails. Cases know nothing of each
// other: an Executor gives every one the database as the fixture made it.
package cases
