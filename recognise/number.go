package recognise

// number is a run of digits with what separates them: enough of them to know
// that they are too many for anything.
type number struct {
	n     int
	digit [20]byte  // their values
	gap   [20]byte  // what is before each: 0 for nothing, or ' ', '-', '.', '/' or ')'
	end   [20]uint8 // how far behind the first each ends
}

// readNumber reads the number that begins at i.
func readNumber(text []byte, i int) (n number) {
	start, gap := i, byte(0)
	for i < len(text) && n.n < len(n.digit) {
		if c := text[i]; isDigit(c) {
			i++
			n.digit[n.n], n.gap[n.n], n.end[n.n] = c-'0', gap, uint8(i-start)
			n.n++
			gap = 0
			continue
		}
		size := 0
		if gap, size = readGap(text[i:]); size == 0 {
			break
		}
		i += size
	}
	return n
}

// readGap reads what separates digits from further ones: a space, a no-break
// space, a dash, a dot, a slash or a bracket, the latter ones with spaces around.
func readGap(text []byte) (gap byte, size int) {
	for size < 3 && size < len(text) {
		switch c := text[size]; {
		case isDigit(c):
			return gap, size
		case c == ' ' && (size == 0 || text[size-1] != ' '):
			size++
			if gap == 0 {
				gap = ' '
			}
		case c == 0xc2 && size == 0 && len(text) > 2 && text[1] == 0xa0:
			gap, size = ' ', 2
		case c == '-' || c == '.' || c == '/' || c == ')' || c == '(':
			if gap != 0 && gap != ' ' && c != '(' {
				return 0, 0
			}
			if c == '(' {
				c = ')'
			}
			gap = c
			size++
		default:
			return 0, 0
		}
	}
	if size < len(text) && isDigit(text[size]) {
		return gap, size
	}
	return 0, 0
}

// ends tells whether the first k digits end where a group of digits does.
func (n *number) ends(k int) bool {
	return k == n.n && k < len(n.digit) || k < n.n && n.gap[k] != 0 && n.gap[k] != '.'
}

// bare tells whether nothing separates the first k digits.
func (n *number) bare(k int) bool { return n.ends(k) && n.run() >= k }

// run gives how many digits there are before the first gap.
func (n *number) run() int {
	for i := 1; i < n.n; i++ {
		if n.gap[i] != 0 {
			return i
		}
	}
	return n.n
}

// like tells whether the number begins as a pattern says, d standing for a digit,
// and a group ends where that does.
func (n *number) like(pattern string) bool {
	k, gap := 0, byte(0)
	for i := range len(pattern) {
		if pattern[i] != 'd' {
			gap = pattern[i]
			continue
		}
		if k >= n.n || k > 0 && n.gap[k] != gap {
			return false
		}
		gap = 0
		k++
	}
	return n.ends(k)
}

// value gives the digits from i up to j as a number.
func (n *number) value(i, j int) (v int) {
	for ; i < j; i++ {
		v = 10*v + int(n.digit[i])
	}
	return v
}

// fewest is the number of digits without a letter between them that anything
// has: a NINO's.
const fewest = 6

// digits looks at a word whose first digit is at i. The scan goes on behind the
// word.
func (s *Scanner) digits(text []byte, from, i int) (found Match, next int) {
	next = i + 1
	for next < len(text) && isAlnum(text[next]) {
		next++
	}
	word := i
	for word > from && i-word < 16 && isLetter(text[word-1]) {
		word--
	}
	if joined(text, word) {
		return Match{}, next
	}
	if word < i {
		return s.lettered(text, word, i), next
	}
	n := readNumber(text, i)
	if n.n < fewest {
		return Match{}, next
	}
	if found = s.withLetters(text, from, i); found.Kind == 0 {
		found = s.number(text, from, i, &n)
	}
	return found, next
}

// numbers are the kinds that are a number and nothing else, in the order in which
// they count where several hold: those that fewest numbers satisfy by chance come
// first.
var numbers = [...]Kind{Card, BENN, DEIdNr, PLPESEL, BRCPF, SEPnr, INAadhaar, USSSN, NLBSN}

// number looks at a number that no letter stands before.
func (s *Scanner) number(text []byte, from, i int, n *number) Match {
	if fraction(text, i) {
		return Match{}
	}
	inWord := i > 1 && text[i-1] == '-' && isAlnum(text[i-2]) // as in a UUID
	for _, kind := range numbers {
		if !s.set.Has(kind) || inWord && kind != Card {
			continue
		}
		if k := s.read(kind, text, i, n); k > 0 {
			if end := i + int(n.end[k-1]); !goesOn(text, end) && !fractionFollows(text, end) {
				return Match{kind, i, end}
			}
		}
	}
	if s.set.Has(Phone) && !inWord {
		return s.phone(text, from, i, n)
	}
	return Match{}
}

// read gives how many of a number's digits, which begins at i, are one of a kind;
// 0 for none.
func (s *Scanner) read(kind Kind, text []byte, i int, n *number) int {
	switch kind {
	case Card:
		return s.card(text, i, n)
	case BENN:
		return n.beNN()
	case DEIdNr:
		return n.deIdNr()
	case PLPESEL:
		return n.plPESEL()
	case BRCPF:
		return s.brCPF(text, i, n)
	case SEPnr:
		return s.sePnr(text, i, n)
	case INAadhaar:
		return s.inAadhaar(text, i, n)
	case USSSN:
		return s.usSSN(text, i, n)
	case NLBSN:
		return s.nlBSN(text, i, n)
	default:
		return 0
	}
}

// fraction tells whether the number that begins at i is a part of another, behind
// its point.
func fraction(text []byte, i int) bool {
	return i > 1 && text[i-1] == '.' && isDigit(text[i-2])
}

func fractionFollows(text []byte, end int) bool {
	return end+1 < len(text) && text[end] == '.' && isDigit(text[end+1])
}
