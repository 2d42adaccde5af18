// Package ship sends the access log to other systems: files, syslog, Splunk,
// OpenSearch, Kafka and webhooks.
//
//	s, err := ship.Start(sinks, ship.Options{Dir: dir, Chains: chains, Log: log})
//	…
//	err = s.Close(ctx)
//
// # How
//
// A sink has a feed: a goroutine for each chain of the log reads the segments on
// disk in order (audit.Follow), and one gathers what they read into batches,
// makes the bodies, and has the sink's Target take them. The log's disk is the
// buffer, so whoever appends never waits, and memory does not grow with what a
// sink does not take.
//
// Each record becomes one event, a statement and its outcome two. An outcome, and
// subjects that came before it, carry what their statement said of who and what:
// from memory, or read from the log again. So nothing is held back until a
// statement has ended, and one that never does is not missing.
//
// # At least once
//
// A sink's cursor is a file in the folder "ship" of the log's, NAME.cursor:
//
//	{"main":{"next":1205,"last":"5feceb66…"},"beside":{"next":0,"last":""}}
//
// For each chain it has the first record that the sink does not have, and a digest
// of the one before. It is replaced in one step, and only moves when events were
// taken, or no filter chose them. A sink that begins gets one at once. When
// shipping starts, the digest is held to the log: a log that was replaced or cut
// short, and records that are gone, stop the sink. So does a record that does not
// follow the one before. Floor tells how much of the log no sink needs any more.
//
// Only one process ships to a sink, by a lock (flock) on NAME.lock. During a
// restart with two processes the new one waits for the old one's end.
//
// # Problems
//
// A try that fails is made again, after a second up to a minute. What a target
// will never take is a *Refused: then the sink stops, or puts those events into
// its dead-letter file. Stats tell how each sink stands; to look into one, start
// with its cursor and "pgveil audit tail".
package ship
