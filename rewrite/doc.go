// Package rewrite is the whole of enforcement: SQL text in, SQL text or a
// Refusal out. It does no I/O, so the same call serves the proxy, pgveil
// explain, pgveil test and the unit tests.
//
//	text → parse → resolve → decide → apply → deparse → verify → text
//
// A reference to a governed relation in a query becomes a sub-select of the
// columns the caller may see, masks applied, row filter and consent inside:
//
//	SELECT email FROM crm.customers WHERE id = 1
//	SELECT email FROM (SELECT pgveil_t.id, <mask> AS email FROM crm.customers AS pgveil_t
//	                   WHERE region = 'EU') AS customers WHERE id = 1
//
// so that whatever surrounds it (expressions, whole rows, JSON, sub-selects,
// cursors, COPY) can only ever see what is masked. The target of a write must
// stay a relation: there, references to its columns are replaced one by one,
// and what cannot be resolved is refused.
//
// What it never does: forward a statement that it did not understand for a
// caller with restrictions; look at the result; read the clock.
//
// To see what happens to one statement, run pgveil explain.
package rewrite
