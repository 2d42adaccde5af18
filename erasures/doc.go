// Package erasures remembers who was erased, without remembering who they were,
// so that it can be proved years later and done again after a restore.
//
//	ledger, err := erasures.Open(path, erasures.NewKey(secret), erasures.Options{})
//	person, err := erasures.Find(ctx, conn, subject, name) // dsar.Resolved.Name, before a row is touched
//	where, err := erasures.Locate(ctx, conn)
//	begun, err := ledger.Intend(erasures.Intention{Request: 17, Person: person, Plan: plan.Hash(), Database: where})
//	… a record of the access log, whose Event is begun.Digest.String() …
//	… the erasure …
//	err = ledger.See(ctx, conn, begun) // the database knows
//	… the search for what is left …
//	done, err := ledger.Done(begun.Seq, erasures.Outcome{Database: where})
//	seq, err = log.Append(done.Record())
//	… until log.Stats().Signed is beyond seq …
//	file, err := erasures.NewCertificate(erasures.Certificate{Request: 17, …, Ledger: erasures.Reference(begun, done)},
//		erasures.Issuer{Key: key}, []erasures.Place{{Log: prover, Seq: seq}}, append(person.Identifiers, person.Key)...)
//
// The records let the ledger and the log vouch for each other: neither can be cut
// back unseen while the other one is whole. Each step may be done again by who goes on after a crash, in this order: Intend
// and Done give the entry that there is, See notes it once.
//
// # The ledger
//
// A file of lines, one an entry, each JSON of an Entry with its digest at the end:
//
//	{"seq":1,"time":"2026-11-22T09:30:00Z","state":"intended","request":17,"kind":"customer","subject":"5c…","identifiers":["a1…"],
//	 "key":"90c6…","plan":"77…","database":{"system":"7412…","timeline":1,"lsn":"0/16B3748","name":"crm"},"prev":"00…","digest":"3f…"}
//
// (here in two lines). digest is SHA-256 of the line without ,"digest":"…", and
// prev is the digest of the line before, so that each is of all before it. subject
// and identifiers are HMAC-SHA256 under a key that is derived from pgveil's: with
// the file alone nobody can find out who is in it, nor try guesses.
//
// An entry is on the disk before anything rests on it, and room for the outcome is
// set aside with the intention. What is behind the last end of a line was being
// written by a process that died, and is cut off. Any other line that is not as it
// was written is a Fault, and nothing is erased until a copy of the file is in its
// place: a ledger that forgets would let a restore pass. One process at a time
// adds to the file, under its lock (flock).
//
// # A restore
//
// The table pgveil.erasures_seen has the digest of each erasure that the database
// has carried out. It goes back with the database; the ledger does not. So an entry
// that was carried out and is not there was undone: Compare. A promoted standby is another
// timeline, and has them all. Replay reads the table of each kind of subject once,
// finds who was erased by the hash of their keys, and has them erased again.
//
// A subject whose row stays (Outcome.Stays) is found again by an identifier alone.
//
// # Certificates
//
// A Certificate is JSON in one form, with a signature over its SHA-256 by the key
// of the access log's checkpoints under a name of its own, and for each record of
// the log that it names the proof that the record is there. VerifyCertificate needs
// the public key and nothing else.
//
// Whoever misses somebody in a replay should look at Replay.Foreign and Unlooked
// first, then at what Normalise makes of their identifiers.
package erasures
