// Package shred keeps the data keys of sealed values, and destroys them: each seals
// one value of a class that says "shred", so that once its key is destroyed the value
// is unreadable in every copy, in backups, replicas and the write-ahead log as well.
//
// Keys are in a PostgreSQL database of their own, the store, which must not be in
// the cluster of the governed one: a backup that held both would hold the values.
// They are made ahead and durable before any is used (Take), cached (At) and fetched
// for many values at once (Fetch), destroyed by name (Destroy) or when no value is
// left that they seal (Reap).
package shred
