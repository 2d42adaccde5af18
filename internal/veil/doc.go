// Package veil runs the built pgveil before a server of one's own, for
// programs that judge it from outside.
//
//	v, err := veil.Start(ctx, "bin/pgveil", dir)
//	…
//	err = v.Stop()
//
// The folder holds a pgveil.yaml that listens on one address, at a port of
// pgveil's choice, and logs in JSON. Stop fails when pgveil complained of
// anything that somebody would have to act on.
package veil
