// Command soak lets pgveil run for a while under everything that clients do at
// once, and tells whether what it takes up stays the same.
//
//	go run ./soak -minutes 30
//
// It starts a PostgreSQL and a pgveil of its own, with SCRAM and TLS on both
// sides. Clients with and without restrictions send single statements and
// prepared ones, write and read sealed columns, copy, fail, are refused, cancel, come and go; meanwhile the
// policy is put in force anew and the schema changes. An answer that is not as
// it should be fails the run.
//
// Memory, heap, goroutines and files are sampled all the time. At the end the
// median of the last quarter is compared with that of the second: by then
// caches are full, so what has grown, and goes on growing, is lost. Memory is
// counted without the mapped access log, which is the system's to take back.
package main
