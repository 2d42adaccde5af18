package recognise

// phone looks at a number for one of a telephone.
func (s *Scanner) phone(text []byte, from, i int, n *number) Match {
	start, open := i, byte(0)
	if i > from && (text[i-1] == '+' || text[i-1] == '(') {
		start, open = i-1, text[i-1]
	}
	if open == '+' && start > from && text[start-1] == '(' {
		start--
	}
	if open == 0 && i > 1 && in(text[i-1], " .-/") && isDigit(text[i-2]) {
		return Match{} // the end of a longer number
	}
	if joined(text, start) || open == '+' && start > 0 && text[start-1] == '+' {
		return Match{}
	}
	k := 0
	switch {
	case open == '+':
		k = n.international(0)
	case n.digit[0] == 0 && n.digit[1] == 0 && (n.run() > 2 && n.run() < n.n && n.gap[n.run()] != '.' || s.calls(text, i)):
		k = n.international(2)
	default:
		k = n.national(open)
	}
	if k == 0 && !n.looksLikeDate() && n.n <= 13 && s.calls(text, start) {
		k = n.n
	}
	if k == 0 {
		return Match{}
	}
	end := i + int(n.end[k-1])
	if !n.ends(k) || goesOn(text, end) || end+1 < len(text) && (text[end] == ':' || text[end] == ',') && isDigit(text[end+1]) {
		return Match{}
	}
	return Match{Phone, start, end}
}

// calls tells whether a word before i says that a telephone's number comes.
func (s *Scanner) calls(text []byte, i int) bool {
	return s.named(text, i, "tel", "phone", "telephone", "mobile", "cell", "call", "fax", "sms", "whatsapp", "ring", "dial",
		"telefon", "telefonnummer", "mobil", "mobilnummer", "handy", "rufnummer", "anrufen", "tlf", "telefoon", "mobiel", "telefono", "telefone", "celular", "movil", "portable", "cellulare")
}

// international gives how many of the digits are a country's code and a number
// there, behind so many zeros.
func (n *number) international(zeros int) int {
	if n.digit[zeros] == 0 {
		return 0
	}
	for k := min(n.n, 15+zeros); k >= 8+zeros; k-- {
		if n.ends(k) {
			return k
		}
	}
	return 0
}

// national gives how many digits are a number in a common national shape. open is
// what stands before the first.
func (n *number) national(open byte) int {
	switch {
	case open == '(' && (n.like("ddd)ddd-dddd") || n.like("ddd)ddd dddd") || n.like("ddd)ddd.dddd")) && n.american(0),
		open == 0 && (n.like("ddd-ddd-dddd") || n.like("ddd.ddd.dddd") || n.like("ddd ddd dddd")) && n.american(0):
		return 10
	case (n.like("d-ddd-ddd-dddd") || n.like("d ddd ddd dddd")) && n.digit[0] == 1 && n.american(1):
		return 11
	case n.trunk():
		return n.n
	default:
		return 0
	}
}

// american tells whether area and exchange are ones of North America's.
func (n *number) american(at int) bool { return n.digit[at] > 1 && n.digit[at+3] > 1 }

// trunk tells whether the number is one with a leading zero, in groups: either
// the same separates all of them, or the area stands apart.
func (n *number) trunk() bool {
	if n.n < 9 || n.n > 12 || n.digit[0] != 0 || n.digit[1] == 0 {
		return false
	}
	first, rest, last, groups := byte(0), byte(0), 0, 1
	for i := 1; i < n.n; i++ {
		g := n.gap[i]
		switch {
		case g == 0:
			continue
		case i-last < 2 || groups == 6:
			return false
		case first == 0:
			first = g
		case rest == 0:
			rest = g
		case g != rest:
			return false
		}
		last = i
		groups++
	}
	return first != 0 && (rest == 0 || rest == first || first != ' ' && first != '.') && n.n-last >= 2
}

// looksLikeDate tells whether the number begins as a date does.
func (n *number) looksLikeDate() bool {
	for _, gap := range []byte("-./ ") {
		year := n.n >= 8 && n.gap[4] == gap && n.gap[6] == gap && n.gap[2] == 0 && (n.value(0, 2) == 19 || n.value(0, 2) == 20)
		day := n.n >= 8 && n.gap[2] == gap && n.gap[4] == gap && n.gap[6] == 0 && (n.value(4, 6) == 19 || n.value(4, 6) == 20)
		if year || day {
			return true
		}
	}
	return false
}
