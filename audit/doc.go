// Package audit keeps the access log: one record for every statement that was
// decided, and for every login, subject request and change of the system
// around it. What is in the log can be checked by anybody who has the files.
//
// # Writing
//
//	log, err := audit.Open(dir, audit.Options{})
//	seq, err := log.Append(&audit.Record{Kind: audit.KindStatement, …})
//	err = log.Sync(ctx, seq)
//
// Append puts the record into memory that is mapped from the file, so it
// costs about two microseconds and the record outlives the process from then
// on: the operating system has it. Sync returns when the record outlives the
// machine too; all who wait share one fdatasync. So a proxy appends, forwards,
// and waits before it lets the first byte of the answer go.
//
// Whoever cannot append must refuse. A disk without room refuses statements and
// logins for as long as that lasts (ErrFull), while a reserve takes what must be
// said; a disk that cannot write ends the log (ErrFailed).
// A disk that fails under the mapping, or somebody who cuts a mapped file
// short, kills the process: nothing passes unrecorded then either.
//
// # Files
//
// A log is a directory of segments, 00000000000000000000.seg and so on, each
// named by the seq of its first record. One process writes it, under a lock
// (flock) on the directory. A segment's room is reserved when it is made, and
// the next one's ahead of need, as next.tmp; reserve.bin, a quarter of one, takes
// its place when there is no room. Names that do not end in .seg are
// passed by. Integers are little endian.
//
// A segment begins with a header of 96 bytes:
//
//	 0  magic     8   "pgveilau"
//	 8  version   4   1
//	12  checksum  4   CRC-32C of bytes 0 to 11, 16 to 55 and 88 to 95
//	16  first     8   seq of its first record: the segment's id
//	24  chain    32   chain hash before that record; zeros for record 0
//	56  mark      8   records with a lower seq were durable when this was written
//	64  last      8   once sealed: where its last frame begins; before: 0
//	72  boot     16   the run of the operating system that wrote it last
//	88            8   zeros
//
// Frames follow without gaps, each 49 bytes and a payload:
//
//	 0  length    4   of the payload, 1 to 60000
//	 4  checksum  4   CRC-32C of the segment's id (8 bytes) and bytes 8 to the end
//	 8  seq       8   one more than in the frame before
//	16  kind      1   1 statement, 2 outcome, 3 session, 4 privacy, 5 system,
//	                 6 subjects, 7 images
//	17  chain    32   SHA-256 of the chain hash before and the payload
//	49  payload       a Record as JSON, UTF-8
//
// A length of zero, or less room than a frame's 49 bytes, ends the segment. The
// length is written last, so a frame that can be seen is whole. The payload is
// byte for byte what encoding/json makes of the Record without HTML escaping.
// A segment is sealed once it and the header of the next one are durable.
//
// The chain covers payloads only. What is to be proved about a record is
// therefore independent of how segments are cut.
//
// # Checkpoints
//
// With Options.Key a Merkle tree of RFC 6962 stands beside the segments, in the
// same directory. Leaf n is the payload of record n. A goroutine that reads the
// segments computes it, so Append is not slower for it.
//
//	hashes.dat       the hashes of the tree that are final, 32 bytes each, in
//	                 the order of tlog.StoredHashIndex; those behind the last
//	                 checkpoint count for nothing
//	checkpoints.log  every checkpoint, an empty line behind each
//	checkpoint       the latest
//
// A checkpoint is a signed note (golang.org/x/mod/sumdb/note) as
// c2sp.org/tlog-checkpoint says:
//
//	crm.example.com/audit
//	1204
//	jmHDtC3WUNlR1K8eGWHJdlwRwkZC4TLBZH7ldNHs0pE=
//
//	— crm.example.com/audit 1bLh8Vd0…
//
// which are the name of the log and of the key, how many records it is over, the
// root of their tree, and an Ed25519 signature. What it is over was durable and
// is what was appended: the records as read back must end in the chain hash that
// is in memory. Below the last checkpoint nothing is ever cut off at a start; a
// segment that is missing there stops it, and so does a record that is not as it
// was signed in the segment where it ends. The others are for Verify.
//
// A record of kind system names the key from which on checkpoints are by another
// one, in "key"; the first checkpoint over that record is signed by both.
//
// Prove writes c2sp.org/tlog-proof@v1, with the payload as extra data: a file
// that CheckProof checks without the log.
//
// # Retention
//
// Old segments may go, by Options.Retention, and then a file, retired, says so:
// a note signed by the same key, see Tombstone. What has a lower seq than it
// names counts for nothing, whether it is there or not; the segment that it
// names must be there, with the chain hash that it gives. It gives the full
// subtrees of the tree of what is gone, too, the largest first, so hashes.dat is
// needed only to prove what was below.
//
// # Example
//
// This is a log of one record, the boot left out:
//
//	0000  70 67 76 65 69 6c 61 75  01 00 00 00 74 e6 92 14  |pgveilau....t...|
//	0010  00 00 00 00 00 00 00 00  00 00 00 00 00 00 00 00  |................|
//	0020  00 00 00 00 00 00 00 00  00 00 00 00 00 00 00 00  |................|
//	0030  00 00 00 00 00 00 00 00  01 00 00 00 00 00 00 00  |................|
//	0040  00 00 00 00 00 00 00 00  00 00 00 00 00 00 00 00  |................|
//	0050  00 00 00 00 00 00 00 00  00 00 00 00 00 00 00 00  |................|
//	0060  4b 00 00 00 a9 0e 71 fd  00 00 00 00 00 00 00 00  |K.....q.........|
//	0070  05 21 82 f8 5b f2 1b 70  4b 3b 45 70 b4 2e f5 1a  |.!..[..pK;Ep....|
//	0080  30 1d dd 4e b2 32 6e df  5d 38 7c 7e 70 9b cb bb  |0..N.2n.]8|~p...|
//	0090  e4 7b 22 73 65 71 22 3a  30 2c 22 74 69 6d 65 22  |.{"seq":0,"time"|
//	00a0  3a 22 32 30 32 36 2d 31  31 2d 32 32 54 30 39 3a  |:"2026-11-22T09:|
//	00b0  33 30 3a 30 30 5a 22 2c  22 6b 69 6e 64 22 3a 22  |30:00Z","kind":"|
//	00c0  73 79 73 74 65 6d 22 2c  22 6d 65 73 73 61 67 65  |system","message|
//	00d0  22 3a 22 73 74 61 72 74  65 64 22 7d              |":"started"}|
//
// The frame begins at 0x60: a payload of 0x4b bytes from 0x91 on, seq 0, kind 5.
// The chain hash, from 0x71 on, is SHA-256 of 32 zeros and the payload, which
//
//	(head -c 32 /dev/zero; printf '{"seq":0,"time":"2026-11-22T09:30:00Z","kind":"system","message":"started"}') | sha256sum
//
// prints as well. "pgveil audit head" prints it with the number of records:
//
//	1:2182f85bf21b704b3b4570b42ef51a301ddd4eb2326edf5d387c7e709bcbbbe4
//
// # After a crash
//
// The death of the process leaves at most one unfinished frame at the end.
// Open cuts it off and says so in a record of kind system. The death of the
// machine can lose more: records that nobody was told were durable, pages out
// of order among them. Open cuts there, too, but only above the mark, only in
// a segment that is not sealed, and not while the machine has been up all
// along; segments that followed are put aside as name.dropped. Everything else that is not as it was written is damage or
// tampering: Open then fails with a *Fault that says where, and leaves the
// files alone.
//
// # Verifying
//
// Verify reads everything and finds records that were changed, removed,
// inserted or moved by somebody who did not compute the chain anew. Who did is
// found by Check.Verify with the public key, as far as checkpoints reach: their
// roots are those of other records. It says between which two checkpoints, and
// which record where hashes.dat was not changed to fit.
//
// Two things need something remembered elsewhere, a Head or better a Checkpoint:
// that the log was cut back to an earlier checkpoint, with the list of them; and
// that somebody who has the private key wrote another log.
//
// To look into a problem, start with "pgveil audit verify"; hexdump -C shows
// the rest, as payloads are text.
package audit
