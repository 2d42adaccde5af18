// Package valkey is the limits.Ledger of several machines: it keeps what was counted
// in Valkey, or Redis from version 5 on.
//
// An Ask is one script on the server, so one round trip, and goes by the server's
// clock. What a process counted stands there under a name of its own, and the
// process remembers it. So it can be written back, once and not twice, to a server
// that has forgotten it, and nobody gives back what others counted.
//
// A server that has forgotten something gives nothing for two seconds, in which
// every process that runs writes back its own.
//
// The server learns neither who is counted nor what: names of counters are digests
// with a key, as data subjects are already.
//
// Where the server does not answer, nothing is given. It is asked again after a
// while, by one, and everybody else is refused at once. By configuration the process
// counts for itself in the meantime, from what it knows, and settles afterwards.
//
// The client is our own (see client.go): what an answer says of its length is
// checked before it is believed.
package valkey
