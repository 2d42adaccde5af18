package recognise

// lettered looks at a word that begins with letters and whose first digit is at i.
func (s *Scanner) lettered(text []byte, word, i int) Match {
	switch letters := i - word; {
	case letters == 2:
		if m := s.iban(text, word); m.Kind != 0 {
			return m
		}
		return s.gbNINO(text, word)
	case letters == 1:
		return s.esNIE(text, word)
	case letters >= 6:
		return s.itCF(text, word)
	default:
		return Match{}
	}
}

// withLetters looks at a number that begins at i for what has letters behind, or
// before it and apart.
func (s *Scanner) withLetters(text []byte, from, i int) Match {
	if m := s.esDNI(text, i); m.Kind != 0 {
		return m
	}
	if m := s.frNIR(text, i); m.Kind != 0 {
		return m
	}
	if i >= from+3 && text[i-1] == ' ' && isUpper(text[i-2]) && isUpper(text[i-3]) && !joined(text, i-3) {
		return s.gbNINO(text, i-3)
	}
	return Match{}
}

// take reads letters and digits into room, over single spaces and dashes, and
// gives where they end. full tells whether there were enough, and none too many.
func take(text []byte, i int, room []byte) (end int, full bool) {
	for n := range room {
		if n > 0 && i+1 < len(text) && (text[i] == ' ' || text[i] == '-') {
			i++
		} else if n > 0 && i+2 < len(text) && text[i] == 0xc2 && text[i+1] == 0xa0 {
			i += 2
		}
		if i >= len(text) || !isAlnum(text[i]) {
			return i, false
		}
		c := text[i]
		if isLetter(c) {
			c &^= 0x20
		}
		room[n] = c
		i++
	}
	return i, !goesOn(text, i)
}

// ibanLength gives how long the IBANs of a country are, by the SWIFT registry; 0
// for one that has none.
func ibanLength(a, b byte) int {
	switch string([]byte{a &^ 0x20, b &^ 0x20}) {
	case "NO":
		return 15
	case "BE":
		return 16
	case "DK", "FO", "FI", "GL", "NL", "SD", "FK":
		return 18
	case "MK", "SI":
		return 19
	case "AT", "BA", "EE", "KZ", "LT", "LU", "XK", "MN":
		return 20
	case "CR", "HR", "LI", "LV", "CH":
		return 21
	case "BG", "BH", "DE", "GB", "GE", "IE", "ME", "RS", "VA":
		return 22
	case "AE", "GI", "IL", "IQ", "TL", "OM", "SO":
		return 23
	case "AD", "CZ", "ES", "MD", "PK", "RO", "SA", "SE", "SK", "TN", "VG":
		return 24
	case "PT", "ST", "LY":
		return 25
	case "IS", "TR":
		return 26
	case "BI", "DJ", "FR", "GR", "IT", "MC", "MR", "SM":
		return 27
	case "AL", "AZ", "BY", "CY", "DO", "GT", "HN", "HU", "LB", "NI", "PL", "SV":
		return 28
	case "BR", "EG", "PS", "QA", "UA":
		return 29
	case "JO", "KW", "MU", "YE":
		return 30
	case "MT", "SC":
		return 31
	case "LC":
		return 32
	case "RU":
		return 33
	default:
		return 0
	}
}

// iban: as long as the country's are, with ISO 7064's MOD 97-10.
func (s *Scanner) iban(text []byte, word int) Match {
	length := ibanLength(text[word], text[word+1])
	if !s.set.Has(IBAN) || length == 0 || word+3 >= len(text) || !isDigit(text[word+3]) {
		return Match{}
	}
	var room [33]byte
	end, full := take(text, word, room[:length])
	if !full {
		return Match{}
	}
	rest := 0
	for n := range length {
		if c := room[(n+4)%length]; isDigit(c) {
			rest = (10*rest + int(c-'0')) % 97
		} else {
			rest = (100*rest + int(c-'A') + 10) % 97
		}
	}
	if rest != 1 {
		return Match{}
	}
	return Match{IBAN, word, end}
}

// gbNINO: two letters that are given, six digits, and a letter from A to D.
func (s *Scanner) gbNINO(text []byte, word int) Match {
	var room [9]byte
	end, full := take(text, word, room[:])
	a, b := room[0], room[1]
	if !s.set.Has(GBNINO) || !full || !isUpper(text[word]) || !isUpper(text[end-1]) || room[8] > 'D' {
		return Match{}
	}
	for _, c := range room[2:8] {
		if !isDigit(c) {
			return Match{}
		}
	}
	switch {
	case !isUpper(room[8]), in(a, "DFIQUV"), in(b, "DFIOQUV"):
		return Match{}
	}
	switch string(room[:2]) {
	case "BG", "GB", "KN", "NK", "NT", "TN", "ZZ":
		return Match{}
	}
	return Match{GBNINO, word, end}
}

func in(c byte, all string) bool {
	for i := range len(all) {
		if all[i] == c {
			return true
		}
	}
	return false
}

// esLetters are the check letters of a number by what is left of 23.
const esLetters = "TRWAGMYFPDXBNJZSQVHLCKE"

// esDNI: eight digits and a letter.
func (s *Scanner) esDNI(text []byte, i int) Match {
	if !s.set.Has(ESDNI) || i+8 >= len(text) {
		return Match{}
	}
	return spanish(text, i, 0, i)
}

// esNIE: X, Y or Z, which stand for 0 to 2, seven digits and a letter.
func (s *Scanner) esNIE(text []byte, word int) Match {
	if !s.set.Has(ESDNI) || !in(text[word], "XYZ") {
		return Match{}
	}
	return spanish(text, word, int(text[word]-'X'), word+1)
}

// spanish reads the digits from i on, up to eight places behind word, and the
// letter.
func spanish(text []byte, word, number, i int) Match {
	for ; i < word+8; i++ {
		if i >= len(text) || !isDigit(text[i]) {
			return Match{}
		}
		number = 10*number + int(text[i]-'0')
	}
	if i+1 < len(text) && (text[i] == '-' || text[i] == ' ') {
		i++
	}
	if i >= len(text) || text[i] != esLetters[number%23] || goesOn(text, i+1) {
		return Match{}
	}
	return Match{ESDNI, word, i + 1}
}

// frNIR: sex, year, month, department (with letters in Corsica), commune, serial
// number and what is left of 97.
func (s *Scanner) frNIR(text []byte, i int) Match {
	var room [15]byte
	if !s.set.Has(FRNIR) || text[i] != '1' && text[i] != '2' {
		return Match{}
	}
	end, full := take(text, i, room[:])
	if !full || fraction(text, i) {
		return Match{}
	}
	number, corsican := 0, 0
	switch room[6] {
	case 'A':
		room[6], corsican = '0', 1_000_000
	case 'B':
		room[6], corsican = '0', 2_000_000
	}
	for n, c := range room[:13] {
		if !isDigit(c) {
			return Match{}
		}
		number = 10*number + int(room[n]-'0')
	}
	month := int(room[3]-'0')*10 + int(room[4]-'0')
	if !isDigit(room[13]) || !isDigit(room[14]) || month == 0 || month > 12 && month < 20 || corsican > 0 && room[5] != '2' {
		return Match{}
	}
	if check := int(room[13]-'0')*10 + int(room[14]-'0'); check != 97-(number-corsican)%97 {
		return Match{}
	}
	return Match{FRNIR, i, end}
}

// itCF: six letters of the name, the date and sex, the place, and a check letter.
// Letters may stand for digits, where two would have had the same.
func (s *Scanner) itCF(text []byte, word int) Match {
	if !s.set.Has(ITCF) || word+16 > len(text) || goesOn(text, word+16) {
		return Match{}
	}
	var odd = [...]byte{1, 0, 5, 7, 9, 13, 15, 17, 19, 21, 2, 4, 18, 20, 11, 3, 6, 8, 12, 14, 16, 10, 22, 25, 24, 23}
	const shape = "AAAAAA00A00A000A"
	sum := 0
	for n := range 15 {
		c := text[word+n]
		if !isAlnum(c) {
			return Match{}
		}
		if isLetter(c) {
			c &^= 0x20
		}
		if shape[n] == 'A' && isDigit(c) || shape[n] == '0' && !isDigit(c) && !in(c, "LMNPQRSTUV") {
			return Match{}
		}
		place := c - 'A'
		if isDigit(c) {
			place = c - '0'
		}
		if n%2 == 0 {
			sum += int(odd[place])
		} else {
			sum += int(place)
		}
	}
	if !in(text[word+8]&^0x20, "ABCDEHLMPRST") || text[word+15]&^0x20 != byte('A'+sum%26) {
		return Match{}
	}
	return Match{ITCF, word, word + 16}
}
