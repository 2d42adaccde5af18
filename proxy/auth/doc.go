// Package auth is login at the proxy: a client proves to pgveil who it is, and
// pgveil logs in to the server as that user, without storing a password.
//
// In come the messages between a StartupMessage and AuthenticationOk, on either
// side, through a [Conn]. Out comes a [Secret] that logs in upstream, or an error
// that says what the client may be told. The two sides meet like this:
//
//	secret, err := auth.SCRAM(ctx, client, user, verifiers.Lookup, binding, mockKey)
//	if err != nil {
//		return err // a *LoginError goes to the client
//	}
//	err = auth.Login(ctx, server, user, secret, auth.LoginOptions{Binding: upstream})
//	if err != nil {
//		return err // a *ServerError goes to the client as the server wrote it
//	}
//	// only now does the client get its AuthenticationOk
//
// SCRAM never shows the password to pgveil, but the proof discloses the client
// key to whoever holds the verifier. The server's own verifier therefore serves
// both to check the client and to log in as it: see docs/adr/0004-scram-client-key.md.
//
// The package opens no client socket, sets up no TLS, decides no policy, counts
// no failures and sends no AuthenticationOk: the session does that. It writes
// nothing to a log, and its secrets print as "[hidden]" wherever they end up.
//
// To debug a login start at SCRAM in server.go for what clients send, and at
// Login in client.go for what the server sends.
package auth
