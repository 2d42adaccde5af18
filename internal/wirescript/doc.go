// Package wirescript runs scripts of protocol messages against a PostgreSQL
// server, or something that should not be told from one, and writes down what
// comes back. Two transcripts of one script are equal when the two servers
// behaved alike.
//
// A script is a text of blocks. Each begins with what it promises and runs in
// sessions of its own:
//
//	# Errors in the middle of a pipeline.
//
//	block what follows an error is passed over until Sync
//	send
//	Parse {"Query": "SELECT 1/0"}
//	Bind
//	Execute
//	Query {"String": "SELECT 'never'"}
//	Sync
//	until ReadyForQuery
//
// The lines of a block are directives, in lower case, and messages to send,
// which are named as in package pgproto3 and written as its JSON:
//
//	send [N]             the messages that follow, N times over, all at once
//	until TYPE …         take messages until these have come, in this order
//	receive TYPE [CODE]  take one message, which must be of that type, and of
//	                     that SQLSTATE
//	end                  take messages until the server closes the connection
//	on NAME              go on in the session of that name; the first is main
//	cancel [NAME]        ask, by another connection, to cancel that session's
//	                     query; this one's without a name
//	asleep               wait until the session's query is in pg_sleep
//	drop                 close the connection without a word
//	tag WORD …           for the test that runs the block: which may not be run,
//	                     say, as everybody
//
// Anything else fails, so a typing error is not taken for output. The runner
// logs in by itself and shows nothing of it. What no two sessions have in
// common is erased: process numbers, the OIDs of objects that a script's tests
// made, the place in the server's source that raised an error.
package wirescript
