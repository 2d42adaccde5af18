// Package proxy relays PostgreSQL sessions and enforces what package rewrite
// plans.
//
// # Layers
//
//	wire   frames, without looking into them
//	auth   login on both sides
//	proxy  sessions: what each message means, and what becomes of it
//
// # A session
//
// A session has two halves. stepClient acts on what the client sends: plans it
// and forwards it; stepServer acts on the answers: counts them and passes them
// on. Between them stands a queue of flights: messages that were sent and are
// not answered yet, in order. All state that both use is guarded by one mutex;
// both are closed switches, and what they do not know ends the session.
//
// Halves know nothing of sockets. A transport calls them as bytes come: a loop,
// which serves many sessions from one goroutine and never waits, also under TLS;
// and two goroutines (pumps) for connections that are no sockets of the
// system's. In a loop halves must not wait: where they would have to they return
// errWaits, with nothing done, and are called again by a goroutine that may.
//
// A session ends in one of four ways: the client says Terminate or goes away;
// the server goes away; pgveil cannot go on (a malformed frame, an answer that
// nobody asked for, a log that failed), which the client is told as a FATAL
// error; or pgveil shuts down, once the transaction is over.
//
// # Refusals
//
// A refusal is made by the server: in place of the refused message it gets one
// that is sure to fail, and its ErrorResponse is replaced by ours. So the
// order of answers, skip-until-Sync, the failed transaction and
// ReadyForQuery's status are right by construction. PRIVACY commands go the
// same way: a statement that returns no row is sent in their place, and the
// rows are put in where its end is announced.
//
// # Settings
//
// What names mean and which purpose is in force depends on settings of the
// server's session, which transactions and functions change. The proxy does
// not imitate that: whenever it is in doubt it asks the server, in the
// session, before it plans the next statement that depends on it.
//
// # Debugging
//
// pgveil explain shows what becomes of a text; the access log says what became
// of one, by the identifier in a refusal's hint. With log.level debug the log
// tells of every session's beginning and end.
package proxy
