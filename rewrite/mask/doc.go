// Package mask writes a policy's masks as SQL.
//
// What goes in is a mask, the column and a reference to it; what comes out is
// an expression in its place. For last(4) on a text column:
//
//	CAST(lpad(right(t.card, CASE WHEN length(t.card) > 4 THEN 4 ELSE 0 END),
//	     LEAST(length(t.card), 100000000), '*') AS text)
//
// Every expression holds to this:
//
//   - Its type is the column's, with the column's type modifier. Of a domain it
//     is the base type, since a masked value may break the domain's constraint;
//     clients cannot tell, because the server describes a domain's column by
//     the base type anyway. Only null keeps the domain.
//   - NULL stays NULL.
//   - It never fails, whatever the value: an error is an answer, and its text
//     would carry the value. Numbers are clamped, years before 1 count as 1,
//     infinite dates stay infinite, texts that are too long are cut.
//   - It depends on the value alone: not on DateStyle, TimeZone, search_path or
//     any other setting. Functions, operators, types and collations are named
//     with their schema, and constructs that look an operator up by its bare
//     name (NULLIF, CASE x WHEN, IN, BETWEEN) are not used. Searching goes by
//     the collation C, because collations that are not deterministic cannot
//     search at all before PostgreSQL 18; the result is given the default one.
//
// # Sealed columns
//
// What the server holds as ciphertext it cannot mask, so an Applier does that
// in Go where values are opened. It shows, byte for byte, what the expression
// would have; TestApplierIsTheServer compares the two for every mask on every
// type. Nothing in the expressions depends on a locale, so nothing is lost:
// they search by the collation C, which knows blanks, letters and digits of
// ASCII only, and the patterns are the same.
//
// docs/masks.md shows each mask by example.
//
// # Keyed masks
//
// hash and token are HMAC-SHA-256 under a key that no statement's text
// contains: pgveil puts its two padded forms into two settings at login, and
// the expression reads them once a statement. A session without them, or with
// settings of another length, sees NULL. The message is the value as text
// behind a label with the lengths of its parts, so no two labels can meet:
//
//	token:5:email:ada@example.com
//	hash:3:crm9:customers5:email:ada@example.com
//
// A text column shows the first 64 bits in hexadecimal, bigint 63 bits,
// integer 31 and uuid 128. Two values of an integer column are therefore
// likely to share a token once it holds some tens of thousands of them.
package mask
