// Suites runs other projects' tests twice, straight on PostgreSQL and through
// pgveil as a login without restrictions, and compares what they come to.
//
// For such a login pgveil must not be noticed. So whether a test passes matters
// less than whether it ends alike on both ways, with the same text printed
// where the suite keeps that. A difference is a fault of pgveil's unless
// differences.txt beside this file names it with a reason. A suite can also
// fail on both ways, for what its machine lacks or for a server of another
// minor version than the tests; the tally shows that.
//
// Each run has a server of its own, and a database that the suite changes while
// pgveil governs it. Tests come from Debian's source packages, by .ci/source,
// or from the Go module proxy. What a run printed is kept, for comparing by
// hand, in .cache/suites/SUITE/{direct,pgveil};
// results there lists every test.
package main
