// Command redteam tries to walk out with a customer base of 10,000 as somebody
// who is allowed 500 customers a day, in every way that it knows.
//
//	go run ./redteam                  all evasions, on every arrangement of proxies
//	go run ./redteam -only cursor     those whose names match
//
// It starts a PostgreSQL of its own. Each evasion is tried by a user of its own,
// so that none finds an allowance that another one used up, and over several
// connections at once. What counts is what arrives: every byte that comes to a
// client is looked through for values that identify a customer, an answer that
// ended in an error or was not read to its end among them. Whoever gets more than
// allowed by one evasion fails the run.
//
// Each evasion is first tried on the server itself, where it must get more than
// is allowed: one that fails there would show nothing. After an evasion, its user
// must be able to go on: read again a customer that was seen before the limit was
// reached, run a statement that is about nobody, and a transaction.
//
// What a client deduces from answers that tell of many at once, bit by bit, is
// reported apart: no count of rows stops it (docs/red-team.md).
package main
