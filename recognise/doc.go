// Package recognise finds in text what is about people or must stay secret:
// e-mail addresses, phone numbers, payment cards, IBANs, national identifiers,
// keys and tokens.
//
//	s := recognise.New(recognise.All)
//	for m, ok := s.Next(text, 0); ok; m, ok = s.Next(text, m.To) {
//		recognise.Scrub(text, m)
//	}
//
// A scan passes over most bytes with one look into a table. Only at a byte that
// something begins with, or has in its middle, it looks more closely, and never
// further than a bounded number of bytes back. Nothing is allocated.
//
// What has a checksum or a shape of its own is found anywhere. What is nothing
// but some digits (a Dutch BSN, a Brazilian CPF without its dots, an American
// number without its dashes) is found only behind a word that says what it is:
// one number in ten passes a check digit by chance, and order numbers abound.
// Whole asks less, as whoever calls it looks at many values of one column.
//
// What it does not do: it knows no names and no addresses of houses, no digits
// but ASCII's, and nothing that was encoded, reversed or cut up.
package recognise
