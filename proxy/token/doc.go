// Package token verifies signed tokens: JSON Web Tokens in compact form
// (RFC 7519), kept to what RFC 8725 advises.
//
// There are two uses, and a token is good for one of them only. A Context token
// is made by an application, for one request mostly, and says which end user a
// shared database login works for. A Login token is made by an OpenID provider
// and proves a login itself.
//
//	verifier, err := token.New(token.Issuer{
//		Name: "crm", Use: token.Context, Audience: "pgveil",
//		Algorithms: []jose.SignatureAlgorithm{jose.HS256}, Keys: keys,
//	})
//	claims, err := verifier.Verify(text, time.Now())
//
// Verify does no I/O: whoever reads and fetches keys puts them into Keys. It takes
// from 20 µs (HS256) to 90 µs (ES256), so callers keep what a token says. What
// a token says counts only as far as it is understood: unknown headers, and
// unknown claims of context tokens, are refused.
//
// A verified token may still be a copy. Nonces binds each to the first session
// that used it, in the memory of one process.
//
// Signatures are go-jose's business. Verify decides before it calls it which
// algorithm and which key may be used, so that a token has no say in that.
//
// To find out why a token is refused: pgveil token check.
package token
