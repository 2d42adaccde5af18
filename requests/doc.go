// Package requests is what becomes of the requests of data subjects, from their
// receipt to a certificate.
//
// A request is a row of pgveil.requests. Officers open it, write down how they
// checked who asks, plan it, approve it where the policy wants more eyes than
// two, and let it run:
//
//	open ──▶ ready ──▶ queued ──▶ running ──▶ completed
//	                     ▲           │  ▲
//	                     │           ▼  │ erased ──▶ review
//	                     └──────── failed
//
// Service.Change does what changes a request, Service.Run answers what reads one;
// the proxy, the command line and the HTTP interface are faces of both. A Worker
// takes what is queued, in any number of processes at once, and goes on where
// one was killed: what it has done of an erasure is in the erasure's own journal
// (package dsar), in the transactions that did it.
//
// An erasure ends with a search of the whole database for what the subject was
// known by. One pass serves all requests that wait for it; until it has come
// back empty there is no certificate.
//
// The package does not decide who may do what: By does, for each right.
package requests
