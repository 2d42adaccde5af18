package recognise

// card reads the number of a payment card: as long as its issuer's are, with a
// right check digit, in groups of at least three digits, if any, which the same
// separates.
func (s *Scanner) card(text []byte, i int, n *number) int {
	for k := min(n.n, 19); k >= 13; k-- {
		if !n.ends(k) || !n.grouped(k) || !issued(n.value(0, 6), k) || n.same(k) || !luhn(n.digit[:k]) {
			continue
		}
		// Barcodes have 13 digits, and many begin with 4.
		if k == 13 && !s.named(text, i, "card", "visa", "karte", "kreditkarte", "carte", "tarjeta", "carta", "kaart", "karta") {
			continue
		}
		return k
	}
	return 0
}

// grouped tells whether the first k digits are in such groups.
func (n *number) grouped(k int) bool {
	gap, last := byte(0), 0
	for i := 1; i < k; i++ {
		if n.gap[i] == 0 {
			continue
		}
		if n.gap[i] != ' ' && n.gap[i] != '-' || gap != 0 && n.gap[i] != gap || i-last < 3 {
			return false
		}
		gap, last = n.gap[i], i
	}
	return true
}

// same tells whether the first k digits are one and the same.
func (n *number) same(k int) bool {
	for i := 1; i < k; i++ {
		if n.digit[i] != n.digit[0] {
			return false
		}
	}
	return true
}

// issued tells whether some issuer's cards begin with these six digits, and have
// that many.
func issued(first, digits int) bool {
	two, three, four := first/10000, first/1000, first/100
	switch {
	case first/100000 == 4: // Visa
		return digits == 13 || digits == 16 || digits == 19
	case two >= 51 && two <= 55 || four >= 2221 && four <= 2720: // Mastercard
		return digits == 16
	case two == 34 || two == 37: // American Express
		return digits == 15
	case two == 36 || three >= 300 && three <= 305 || two == 38 || two == 39 || three == 309: // Diners Club
		return digits == 14 || digits == 16
	case four == 6011 || two == 65 || three >= 644 && three <= 649: // Discover
		return digits == 16 || digits == 19
	case four >= 3528 && four <= 3589: // JCB
		return digits >= 16
	case two == 62 || two == 81: // UnionPay
		return digits >= 16
	case four >= 2200 && four <= 2204: // Mir
		return digits >= 16
	case two == 50 || two >= 56 && two <= 58 || two == 60 || two == 61 || two == 63 || two == 67: // Maestro, RuPay, Elo
		return digits == 16 || digits == 18 || digits == 19
	default:
		return false
	}
}

// luhn tells whether the last digit is the check digit of the others.
func luhn(digits []byte) bool {
	sum := 0
	for i := range digits {
		d := int(digits[len(digits)-1-i])
		if i%2 == 1 {
			if d *= 2; d > 9 {
				d -= 9
			}
		}
		sum += d
	}
	return sum%10 == 0
}
