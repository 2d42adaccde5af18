// Package sidedoor finds connections to the governed database that go around
// pgveil.
//
// Every process of pgveil writes down, in the table pgveil.backends, which
// connections to the server are its own: by the number that the server gave each,
// which no other connection has at the time, and when it began. That needs
// neither addresses, which a network may translate, nor names, which anybody may
// give. What the server lists in pg_stat_activity and nobody has written down is a
// way around, unless the configuration allows it.
//
// A connection is judged once every process that is there had the time to say
// that it is its own. One that was seen is judged even if it is gone by then; one
// that came and went between two looks is only counted, by what the server
// counts of sessions (Tally).
//
// What a login that may not read others' statistics does not see is not guessed:
// the watcher says that it is blind.
package sidedoor
