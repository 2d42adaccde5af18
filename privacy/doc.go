// Package privacy is the PRIVACY commands as texts: what a client may write, and
// what that asks for. It runs none of them: dsar and state do, and the proxy
// says who may.
//
//	cmd, ok, err := privacy.ParseCommand("PRIVACY EXPORT customer 42;")
//
// A command's values are in it as they were written; Shape leaves them out, for
// the access log.
package privacy
