// Package seal makes of a value what is stored of it in a sealed column, and of
// that the value again.
//
// What is stored is an envelope that says which key opens it:
//
//	version (1 byte) algorithm (1) key (4) nonce (24, of randomized ones) ciphertext and tag
//
// text and varchar hold it as "pgv1." and base64url without padding, json and jsonb
// as a string of that, bytea as it is behind four bytes of magic. The associated data
// is what the value is bound to: the column, or the class whose columns join; the way
// it is sealed; and the type of the value. So what is moved to another column, or
// taken for another type, does not open.
//
// Randomized values are sealed by XAES-256-GCM (C2SP), whose nonces of 192 bits can
// be random for any number of values; deterministic ones by AES-SIV (RFC 5297).
//
// A class that keeps a format is sealed by FF1 (NIST SP 800-38G) instead: so many
// characters become as many of the same alphabet. There is no envelope then, so damage
// is not noticed, and one key of the class seals and opens for good.
package seal
