// Package guard bounds how fast passwords can be guessed, without letting who
// guesses shut out whom the password belongs to.
//
// Failed logins are counted four ways. Each count falls by one every so often,
// and a login is refused, or slowed, while a count stands at its limit:
//
//	one login from one address   refused: the only count that a login known there heeds
//	an address, whatever login   refused
//	a network, whatever login    refused
//	one login from everywhere    slowed: refusing would let anybody shut it out
//
// A login that has got in from an address is known there, and the last three
// counts do not touch it: so who guesses at alice from all over the world, or
// at all the world from the network that she sits in, does not hinder her where
// she always comes from. A login that gets in takes back its own count only;
// otherwise who has one account could guess at others for ever.
//
// Only a proof that failed counts, and it counts at once: of many that are
// under way together, those that end after the limit was reached are refused
// whatever they prove, so that coming all at once gives no more guesses.
//
// Everything is in memory, in tables of a fixed size. A full table forgets what
// will be forgiven soonest, so made-up names and addresses push out each other
// before they push out who guesses in earnest. A restart forgets everything.
package guard
